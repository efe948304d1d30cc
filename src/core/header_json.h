#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <deja/event.h>
#include <deja/record.h>

namespace deja::core {

/// Headers as JSON text: [["name", "value"], ["name", null], ["name", {"base64": "AP8="}]]; names may be {"base64": ..} too.
std::string headers_json(std::span<const Header> headers);
std::string headers_json(const std::vector<EventHeader>& headers);
/// Throws std::invalid_argument for text that headers_json() did not write.
std::vector<EventHeader> parse_headers_json(std::string_view json);

}  // namespace deja::core
