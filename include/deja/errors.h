#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace deja {

/// Thrown by a handler: this record can never be handled (poison). It becomes a dead letter at once, cause `rejected`.
class Reject : public std::runtime_error {
 public:
  explicit Reject(const std::string& reason) : std::runtime_error(reason) {}
};

/// Thrown by a handler: something it depends on is away. The lane pauses and tries again; no attempt is spent and nothing
/// becomes a dead letter. `retry_after` is the wait the dependency itself asked for, if it did.
class Unavailable : public std::runtime_error {
 public:
  explicit Unavailable(std::string dependency, std::optional<std::chrono::milliseconds> retry_after = std::nullopt)
      : std::runtime_error(dependency + " is unavailable"), dependency_(std::move(dependency)), retry_after_(retry_after) {}

  const std::string& dependency() const { return dependency_; }
  std::optional<std::chrono::milliseconds> retry_after() const { return retry_after_; }

 private:
  std::string dependency_;
  std::optional<std::chrono::milliseconds> retry_after_;
};

/// Why a program stops, with the exit code it stops with (the table is in docs/configuration.md). Thrown by Runtime::start
/// and Runtime::wait; Application prints it as the last line on stderr.
class Stop : public std::runtime_error {
 public:
  Stop(int exit_code, const std::string& cause) : std::runtime_error(cause), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

/// The meaning of an exit code, for programs and the `deja` command alike.
namespace exit_code {
inline constexpr int clean = 0;
inline constexpr int finding = 1;
inline constexpr int usage = 64;
inline constexpr int wrong_data = 65;
inline constexpr int unavailable = 69;
inline constexpr int defect = 70;
inline constexpr int try_again = 75;
inline constexpr int no_permission = 77;
inline constexpr int configuration = 78;
}  // namespace exit_code

}  // namespace deja
