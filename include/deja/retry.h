#pragma once

#include <chrono>
#include <cstdint>
#include <type_traits>

// How a handler narrows redelivery for itself:
//   static constexpr auto retry = deja::retry().attempts(3).backoff(100ms, 5s).final_errors<std::invalid_argument, UnknownAccount>();

namespace deja {

namespace detail {
/// True while an exception that is an E is being handled.
template <class E>
bool handles_a() noexcept {
  try {
    throw;
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}
}  // namespace detail

/// A handler's redelivery. What it does not say is the configuration's (retry.*). Made by retry().
template <class... Final>
class Retry {
 public:
  constexpr Retry() = default;

  /// Attempts for one record, the first included; never more than retry.max.attempts. At least 1, which means no redelivery.
  constexpr Retry attempts(std::int32_t most) const {
    auto narrowed = *this;
    narrowed.attempts_ = most;
    return narrowed;
  }
  /// The longest wait before the second attempt, in milliseconds, which doubles with each further one up to `most`. The wait is random.
  constexpr Retry backoff(std::chrono::milliseconds base, std::chrono::milliseconds most) const {
    auto narrowed = *this;
    narrowed.base_ = base;
    narrowed.most_ = most;
    return narrowed;
  }
  /// What is thrown as one of these, or derives from it, is no matter of trying again: the record becomes a dead letter (`exhausted`) at once.
  template <class... E>
  constexpr Retry<E...> final_errors() const {
    Retry<E...> narrowed;
    narrowed.attempts_ = attempts_;
    narrowed.base_ = base_;
    narrowed.most_ = most_;
    return narrowed;
  }

  /// At least one attempt; the wait at least a millisecond, and not longer than it may become.
  constexpr bool valid() const {
    const bool attempts_fit = attempts_ == unsaid || attempts_ >= 1;
    const bool waits_fit = (base_.count() == 0 && most_.count() == 0) || (base_.count() >= 1 && base_ <= most_);
    return attempts_fit && waits_fit && (std::is_same_v<Final, std::decay_t<Final>> && ...);
  }
  static bool is_final() noexcept { return (detail::handles_a<Final>() || ...); }

  constexpr std::int32_t attempts_or(std::int32_t other) const { return attempts_ == unsaid ? other : attempts_; }
  constexpr std::chrono::milliseconds base() const { return base_; }
  constexpr std::chrono::milliseconds most() const { return most_; }

 private:
  template <class...>
  friend class Retry;
  static constexpr std::int32_t unsaid = INT32_MIN;
  std::int32_t attempts_ = unsaid;
  std::chrono::milliseconds base_{0}, most_{0};  // 0: the configuration's
};

constexpr Retry<> retry() { return {}; }

namespace detail {
template <class T>
inline constexpr bool is_retry = false;
template <class... Final>
inline constexpr bool is_retry<const Retry<Final...>> = true;
}  // namespace detail

}  // namespace deja
