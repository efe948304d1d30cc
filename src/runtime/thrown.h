#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include <deja/errors.h>

#include "core/redelivery.h"

namespace deja::runtime {

/// What a handler threw, in words. It may throw anything, an int too.
struct Thrown {
  core::Trouble trouble = core::Trouble::exception;
  std::string type;
  std::string message;
  std::optional<Unavailable> unavailable;
};

/// An event larger than Kafka takes.
struct Oversized : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// `is_final`: says of the exception that is being handled whether it is tried again; may be null.
std::optional<Thrown> catch_thrown(const std::function<void()>& call, bool (*is_final)() noexcept = nullptr);

/// A readable name of the exception that is being handled.
std::string type_name(const std::exception& e);

}  // namespace deja::runtime
