#pragma once

#include <string>
#include <string_view>

namespace deja::config {

/// `text` as it may be shown as the value of `key` to people and in logs: a secret, by the type or the name of its key, is
/// masked whole; elsewhere the passwords of URLs and of libpq's `key=value` words are.
std::string masked(std::string_view key, std::string_view text);

/// `masked`, in quotes, cut to a readable length and on one line: for messages.
std::string quoted_for_message(std::string_view key, std::string_view text);

}  // namespace deja::config
