#include "core/foreign_dead_letter.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace deja::core {
namespace {

enum class Form { digits, big_endian };

struct Framework {
  const char *name, *prefix;
  const char *topic, *partition, *offset, *timestamp, *attempts, *type, *message;  // after the prefix; null: it has none
  Form form;
};

constexpr Framework frameworks[] = {
    {"KIP-1191", "__dlq.errors.", "topic", "partition", "offset", nullptr, "delivery.count", nullptr, "message", Form::digits},
    {"Kafka Connect", "__connect.errors.", "topic", "partition", "offset", nullptr, nullptr, "exception.class.name", "exception.message", Form::digits},
    {"Spring Kafka", "kafka_dlt-", "original-topic", "original-partition", "original-offset", "original-timestamp", nullptr, "exception-fqcn", "exception-message", Form::big_endian},
};

class Headers {
 public:
  Headers(const RecordLine& record, const Framework& framework) : record_(record), framework_(framework) {}

  bool any() const {
    return std::any_of(record_.headers.begin(), record_.headers.end(), [&](const auto& h) { return h.first.starts_with(framework_.prefix); });
  }

  std::optional<std::string> find(const char* name) const {
    if (!name) return std::nullopt;
    std::optional<std::string> found;
    for (const auto& [header, value] : record_.headers)
      if (header == framework_.prefix + std::string(name)) found = value;
    return found;
  }

  std::optional<std::int64_t> number(const char* name) const {
    const auto text = find(name);
    if (!text) return std::nullopt;
    if (framework_.form == Form::big_endian && (text->size() == 4 || text->size() == 8)) return big_endian(*text);
    std::int64_t n = -1;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
    if (error != std::errc() || end != text->data() + text->size() || n < 0) throw MalformedLine(wrong(name) + " is no number");
    return n;
  }

  std::string wrong(const char* name) const { return "header " + std::string(framework_.prefix) + name; }

  template <class T>
  T required(std::optional<T> value, const char* name) const {
    if (!value) throw MalformedLine(std::string("has headers of ") + framework_.name + ", but not " + framework_.prefix + name);
    return *value;
  }

 private:
  std::int64_t big_endian(std::string_view bytes) const {
    std::uint64_t n = 0;
    for (const char c : bytes) n = n << 8 | static_cast<unsigned char>(c);
    if (bytes.size() == 4) return static_cast<std::int32_t>(static_cast<std::uint32_t>(n));
    return static_cast<std::int64_t>(n);
  }

  const RecordLine& record_;
  const Framework& framework_;
};

}  // namespace

std::optional<DeadLetterOrigin> dead_letter_origin(const RecordLine& record) {
  for (const auto& framework : frameworks) {
    const Headers headers(record, framework);
    if (!headers.any()) continue;
    DeadLetterOrigin origin;
    origin.framework = framework.name;
    origin.topic = headers.required(headers.find(framework.topic), framework.topic);
    const auto partition = headers.required(headers.number(framework.partition), framework.partition);
    origin.offset = headers.required(headers.number(framework.offset), framework.offset);
    if (partition < 0 || partition > INT32_MAX) throw MalformedLine(headers.wrong(framework.partition) + " is no partition");
    if (origin.offset < 0) throw MalformedLine(headers.wrong(framework.offset) + " is no offset");
    origin.partition = static_cast<std::int32_t>(partition);
    origin.timestamp_ms = headers.number(framework.timestamp);
    origin.attempts = std::max<std::int64_t>(1, headers.number(framework.attempts).value_or(1));
    origin.error_type = headers.find(framework.type).value_or("");
    origin.error = headers.find(framework.message).value_or("");
    return origin;
  }
  return std::nullopt;
}

void forget_failure_headers(RecordLine& record) {
  std::erase_if(record.headers, [](const auto& header) {
    return header.first.starts_with("deja-dlq-") ||
           std::any_of(std::begin(frameworks), std::end(frameworks), [&](const Framework& f) { return header.first.starts_with(f.prefix); });
  });
}

}  // namespace deja::core
