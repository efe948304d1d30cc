#pragma once

#include <string>
#include <string_view>

namespace deja::core {

/// An error's message without what varies from record to record: words with a digit in them become "#", quoted text "?". So ten thousand
/// errors read as three causes. At most 512 bytes of it are looked at.
std::string normalised_error(std::string_view message);

/// Eight hexadecimal digits that two failures of one cause share: of the type of what was thrown, where, and the normalised message.
std::string failure_fingerprint(std::string_view type, std::string_view stage, std::string_view message);

}  // namespace deja::core
