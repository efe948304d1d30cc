#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace deja {

/// A header as it came. Names may repeat; the value may be absent (Kafka's null).
struct Header {
  std::string_view name;
  std::optional<std::string_view> value;
};

namespace detail {
/// What a Record shows. The bytes belong to the runtime (or to the test) and outlive the handler's call.
struct RecordView {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string_view> key = {};
  std::optional<std::string_view> value = {};
  std::span<const Header> headers = {};
  std::int64_t timestamp_ms = -1;
  std::int32_t attempt = 1;
};
}  // namespace detail

/// A Kafka record as a handler sees it. All views are valid only while the handler runs; copy what you keep.
///
/// Threading: seen by one thread. Neither copied nor moved: take it by const reference.
class Record {
 public:
  explicit Record(const detail::RecordView& view) : view_(view) {}
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  std::string_view topic() const { return view_.topic; }
  std::int32_t partition() const { return view_.partition; }
  std::int64_t offset() const { return view_.offset; }

  /// An empty view when absent: see has_key().
  std::string_view key() const { return view_.key.value_or(std::string_view()); }
  bool has_key() const { return view_.key.has_value(); }
  /// An empty view when absent (a tombstone): see has_value().
  std::string_view value() const { return view_.value.value_or(std::string_view()); }
  bool has_value() const { return view_.value.has_value(); }

  /// In the order in which they came.
  std::span<const Header> headers() const { return view_.headers; }
  /// The last header of that name (Kafka's rule), or nothing. A header that is there with a null value is an empty view.
  std::optional<std::string_view> header(std::string_view name) const;

  /// Milliseconds since 1970 as the producer or broker set it; -1 when unknown. Not trusted for any decision.
  std::int64_t timestamp_ms() const { return view_.timestamp_ms; }
  /// 1 for the first time this record's handler runs for real; counts failed attempts, not repeats after an outage.
  std::int32_t attempt() const { return view_.attempt; }

 private:
  const detail::RecordView view_;
};

}  // namespace deja
