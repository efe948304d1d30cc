#pragma once

namespace deja::failpoints {

/// Throws what libpqxx throws when the link is lost.
[[noreturn]] void throw_lost_link(const char* step);

}  // namespace deja::failpoints
