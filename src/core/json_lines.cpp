#include "core/json_lines.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "core/base64.h"
#include "core/utf8.h"

namespace deja::core {
namespace {

using Json = nlohmann::ordered_json;

// The format needs three levels. The parser would build any number of them and die of it later.
constexpr int max_depth = 8;

void check_depth(std::string_view line) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) throw MalformedLine("is nested too deeply");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

Json parse(std::string_view line) {
  check_depth(line);
  try {
    return Json::parse(line);
  } catch (const Json::parse_error& error) {
    // Its own words quote the input; the position says enough.
    throw MalformedLine("is no JSON (at byte " + std::to_string(error.byte) + ")");
  }
}

std::optional<std::string> bytes(const Json& json, const std::string& what) {
  if (json.is_null()) return std::nullopt;
  if (json.is_string()) return json.get<std::string>();
  if (json.is_object() && json.size() == 1 && json.contains("base64") && json["base64"].is_string()) {
    try {
      return unbase64(json["base64"].get_ref<const std::string&>());
    } catch (const std::invalid_argument&) {
      throw MalformedLine(what + " is not valid base64");
    }
  }
  throw MalformedLine(what + " must be a string, null or {\"base64\": \"..\"}");
}

std::string text(const Json& json, const std::string& what) {
  if (!json.is_string()) throw MalformedLine(what + " must be a string");
  return json.get<std::string>();
}

template <class Integer>
Integer number(const Json& json, const std::string& what) {
  const bool fits = json.is_number_unsigned()
                        ? json.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())
                        : json.is_number_integer() && json.get<std::int64_t>() >= 0;
  if (!fits) throw MalformedLine(what + " must be a whole number, 0 or above");
  return json.get<Integer>();
}

void add_headers(const Json& json, RecordLine& record) {
  if (!json.is_array()) throw MalformedLine("headers must be a list of [\"name\", value]");
  for (const auto& header : json) {
    const auto which = "header " + std::to_string(record.headers.size() + 1);
    if (!header.is_array() || header.size() != 2) throw MalformedLine(which + " must be [\"name\", value]");
    auto name = bytes(header[0], "the name of " + which);
    if (!name) throw MalformedLine("the name of " + which + " must be a string");
    record.headers.emplace_back(std::move(*name), bytes(header[1], "the value of " + which));
  }
}

Json to_json(const std::optional<std::string>& value) {
  if (!value) return nullptr;
  if (is_utf8(*value)) return *value;
  return {{"base64", base64(*value)}};
}

}  // namespace

RecordLine parse_record_line(std::string_view line) {
  const auto json = parse(line);
  if (!json.is_object()) throw MalformedLine("is not a JSON object");
  RecordLine record;
  for (const auto& [name, value] : json.items()) {
    if (name == "key") {
      record.key = bytes(value, name);
    } else if (name == "value") {
      record.value = bytes(value, name);
    } else if (name == "headers") {
      add_headers(value, record);
    } else if (name == "topic") {
      record.topic = text(value, name);
    } else if (name == "partition") {
      record.partition = number<std::int32_t>(value, name);
    } else if (name == "offset") {
      record.offset = number<std::int64_t>(value, name);
    } else {
      throw MalformedLine("has an unknown field " + Json(name).dump() + " (known: key, value, headers, topic, partition, offset)");
    }
  }
  return record;
}

std::string format_record_line(const RecordLine& record) {
  auto headers = Json::array();
  for (const auto& [name, value] : record.headers) headers.push_back(Json::array({to_json(name), to_json(value)}));
  Json json = Json::object();
  json["key"] = to_json(record.key);
  json["value"] = to_json(record.value);
  json["headers"] = std::move(headers);
  if (record.topic) json["topic"] = *record.topic;
  if (record.partition) json["partition"] = *record.partition;
  if (record.offset) json["offset"] = *record.offset;
  return json.dump();
}

}  // namespace deja::core
