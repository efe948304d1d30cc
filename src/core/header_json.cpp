#include "core/header_json.h"

#include <nlohmann/json.hpp>

#include <stdexcept>

#include "core/base64.h"
#include "core/utf8.h"

namespace deja::core {

namespace {
using nlohmann::json;

json bytes_json(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  return json{{"base64", base64(bytes)}};
}

json value_json(std::optional<std::string_view> value) { return value ? bytes_json(*value) : json(nullptr); }

Bytes bytes_of(const json& j) {
  if (j.is_null()) return std::nullopt;
  if (j.is_string()) return j.get<std::string>();
  return unbase64(j.at("base64").get<std::string>());
}
}  // namespace

std::string headers_json(std::span<const Header> headers) {
  json list = json::array();
  for (const auto& h : headers) list.push_back(json::array({bytes_json(h.name), value_json(h.value)}));
  return list.dump();
}

std::string headers_json(const std::vector<EventHeader>& headers) {
  json list = json::array();
  for (const auto& h : headers)
    list.push_back(json::array({bytes_json(h.name), value_json(h.value.has_value() ? std::optional(h.value.view()) : std::nullopt)}));
  return list.dump();
}

std::vector<EventHeader> parse_headers_json(std::string_view text) {
  try {
    std::vector<EventHeader> headers;
    for (const auto& pair : json::parse(text)) headers.push_back({std::string(bytes_of(pair.at(0)).view()), bytes_of(pair.at(1))});
    return headers;
  } catch (const json::exception& e) {
    throw std::invalid_argument(std::string("stored headers are not readable: ") + e.what());
  }
}

}  // namespace deja::core
