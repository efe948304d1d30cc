#include "payment.h"

#include <deja/errors.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;

// A few kilobytes of brackets are cheap to send and dear to hold as a tree.
constexpr int max_depth = 32;
// The account is a primary key, and an index entry has room for 2,704 bytes.
constexpr std::size_t max_text_bytes = 2'048;

json parse_object(std::string_view text) {
  if (text.empty()) throw deja::Reject("the value is empty");
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > max_depth) throw deja::Reject("the value is nested too deeply");
    return true;
  };
  // The parser would take a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) throw deja::Reject("the value is not JSON");
  json document = json::parse(text, shallow, /*allow_exceptions=*/false);
  if (document.is_discarded()) throw deja::Reject("the value is not JSON");
  if (!document.is_object()) throw deja::Reject("the value is not a JSON object");
  return document;
}

const json& field(const json& object, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end()) throw deja::Reject(name + " is missing");
  return *found;
}

std::string text_field(const json& object, const std::string& name) {
  const json& value = field(object, name);
  if (!value.is_string()) throw deja::Reject(name + " is not a text");
  auto text = value.get<std::string>();
  if (text.empty()) throw deja::Reject(name + " is empty");
  if (text.size() > max_text_bytes) throw deja::Reject(name + " is longer than " + std::to_string(max_text_bytes) + " bytes");
  if (text.find('\0') != std::string::npos) throw deja::Reject(name + " has a NUL character, which Postgres cannot store");
  return text;
}

std::int64_t amount_field(const json& object, const std::string& name) {
  const json& value = field(object, name);
  // Numbers that fit no 64 bits arrive as floating point: refused, like 1.0 and 1e3.
  if (!value.is_number_integer()) throw deja::Reject(name + " is not a whole number of 64 bits");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    throw deja::Reject(name + " is not a whole number of 64 bits");
  const auto amount = value.get<std::int64_t>();
  if (amount <= 0) throw deja::Reject(name + " is not above 0");
  return amount;
}

}  // namespace

Payment parse_payment(std::string_view text) {
  const json object = parse_object(text);
  return {.id = text_field(object, "payment_id"),
          .account = text_field(object, "account"),
          .amount_cents = amount_field(object, "amount_cents")};
}

std::string to_json(const Payment& payment) {
  return nlohmann::ordered_json{{"payment_id", payment.id}, {"account", payment.account}, {"amount_cents", payment.amount_cents}}.dump();
}
