#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <deja/record.h>

namespace deja {

namespace detail {
struct StrategyBase {};  // marks the strategies
template <class S>
inline constexpr bool is_strategy = std::is_base_of_v<StrategyBase, std::remove_cvref_t<S>>;
template <class S>
inline constexpr bool is_keyed_strategy = requires { requires is_strategy<S> && !std::remove_cvref_t<S>::key_free; };

template <class T>
concept KeyText = std::convertible_to<T, std::string_view> || std::convertible_to<T, std::string>;
template <class Function>
concept KeyFunction = requires(const Function& function, const Record& record) {
  { function(record) } -> KeyText;
} || requires(const Function& function, const Record& record) {
  { function(record).has_value() } -> std::convertible_to<bool>;
  { *function(record) } -> KeyText;
};
}  // namespace detail

// A strategy says what identifies a record's effect. extract() gives the raw key, or nothing when the record has none (it then
// becomes a dead letter, cause `key_missing`). describe() is stored and compared at every start: a changed strategy is refused.

struct ByHeader : detail::StrategyBase {
  static constexpr bool key_free = false;
  std::string_view header;
  std::optional<std::string> extract(const Record& record) const;
  std::string describe() const { return "header " + std::string(header); }
};
/// The key is the value of a header, such as "Idempotency-Key" or CloudEvents' "ce_id". An empty value counts as missing.
/// Source: draft-ietf-httpapi-idempotency-key-header for the customary name.
constexpr ByHeader by_header(std::string_view header) { return {{}, header}; }

struct ByPayload : detail::StrategyBase {
  static constexpr bool key_free = false;
  std::optional<std::string> extract(const Record& record) const;
  std::string describe() const { return "payload"; }
};
/// Two records with equal record keys and values are one.
constexpr ByPayload by_payload() { return {}; }

template <class Function>
struct ByKey : detail::StrategyBase {
  static constexpr bool key_free = false;
  Function function;
  std::optional<std::string> extract(const Record& record) const {
    using Result = std::invoke_result_t<const Function&, const Record&>;
    if constexpr (requires(const Result& r) { r.has_value(); }) {
      auto key = function(record);
      return key ? std::optional<std::string>(std::string(*key)) : std::nullopt;
    } else {
      return std::string(function(record));
    }
  }
  std::string describe() const { return "key function"; }
};
/// The key is what `function(const deja::Record&)` returns: a string, a view or an optional of either. It must be pure; what it
/// throws makes the record a dead letter, cause `undecodable`. After changing it, change the handler's name or scope too.
template <class Function>
constexpr auto by_key(Function function) {
  constexpr bool fits = detail::KeyFunction<Function>;
  static_assert(fits, "deja: by_key takes a function of const deja::Record& that returns a string, a view or an optional of either");
  if constexpr (fits)
    return ByKey<Function>{{}, std::move(function)};
  else
    return by_payload();  // any strategy, so that the error above is the only one
}

struct ByOffset : detail::StrategyBase {
  static constexpr bool key_free = true;
  std::string_view why;
  std::optional<std::string> extract(const Record&) const { return std::nullopt; }
  std::string describe() const { return "offset: " + std::string(why); }
};
/// No key at all: the position in the log identifies the record, so a producer's duplicate is a record like any other.
/// `why` says why that is harmless; it is shown to operators.
constexpr ByOffset by_offset(std::string_view why_duplicates_are_harmless) { return {{}, why_duplicates_are_harmless}; }

template <class... Strategies>
struct FirstOf : detail::StrategyBase {
  static constexpr bool key_free = false;
  std::tuple<Strategies...> strategies;
  std::optional<std::string> extract(const Record& record) const {
    std::optional<std::string> key;
    std::apply([&](const auto&... each) { (void)((key = each.extract(record)).has_value() || ...); }, strategies);
    return key;
  }
  std::string describe() const {
    std::string words = "first of";
    std::apply([&](const auto&... each) { ((words += (words == "first of" ? " " : ", ") + each.describe()), ...); }, strategies);
    return words;
  }
};
/// The first strategy that finds a key.
template <class... Strategies>
constexpr auto first_of(Strategies... strategies) {
  constexpr bool fits = sizeof...(Strategies) > 0 && (detail::is_keyed_strategy<Strategies> && ...);
  static_assert(fits, "deja: first_of takes by_header, by_key and by_payload");
  if constexpr (fits)
    return FirstOf<Strategies...>{{}, {std::move(strategies)...}};
  else
    return by_payload();  // any strategy, so that the error above is the only one
}

}  // namespace deja
