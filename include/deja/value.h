#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include <deja/bytes.h>

namespace deja {

template <class T>
concept SqlNumber = (std::integral<T> || std::floating_point<T>) && !std::same_as<T, bool> && !std::same_as<T, char> &&
                    !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t> && !std::same_as<T, wchar_t>;

/// One argument of a statement, in Postgres' text form. The server gives it the type of the column or parameter it stands for,
/// so a text is fine for uuid, numeric or timestamptz columns.
///
/// Null: nullptr, nullopt or an empty optional. Bytes that are no text: deja::bytea(view).
class Value {
 public:
  Value(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  Value(std::nullopt_t) {}  // NOLINT(google-explicit-constructor)
  template <std::same_as<bool> Bool>  // bool only: a pointer must not silently become true
  Value(Bool flag) : text_(flag ? "true" : "false") {}  // NOLINT(google-explicit-constructor)
  template <SqlNumber Number>
  Value(Number number) : text_(number_text(number)) {}  // NOLINT(google-explicit-constructor)
  template <std::convertible_to<std::string_view> Text>
  Value(const Text& text) : text_(std::string(std::string_view(text))) {}  // NOLINT(google-explicit-constructor)
  template <class T>
  Value(const std::optional<T>& maybe) {  // NOLINT(google-explicit-constructor)
    if (maybe) *this = Value(*maybe);
  }

  bool is_null() const { return !text_; }
  /// Empty when null.
  std::string_view text() const { return text_ ? std::string_view(*text_) : std::string_view(); }

 private:
  template <SqlNumber Number>
  static std::string number_text(Number number) {
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;  // shortest form that reads back the same
    return std::string(buffer, end);
  }

  std::optional<std::string> text_;
};

/// Bytes of any kind for a bytea column or parameter (text columns refuse NUL and invalid UTF-8).
Value bytea(std::string_view bytes);

/// A column's name and its value, for Transaction::insert.
struct Column {
  std::string_view name;
  Value value;
};

}  // namespace deja
