#include "runtime/thrown.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <string_view>
#include <typeinfo>


namespace deja::runtime {

namespace {
std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}
// libpqxx ends its messages with a line break.
std::string message_of(const std::exception& e) {
  std::string message = e.what();
  message.erase(message.find_last_not_of(" \n\r\t") + 1);
  return message;
}

// Of std::throw_with_nested: what it was thrown for, down to the first cause.
std::string causes_of(const std::exception& e, int depth = 8) {
  try {
    std::rethrow_if_nested(e);
  } catch (const std::exception& cause) {
    if (depth == 0) return "; caused by more";
    return "; caused by " + type_name(cause) + ": " + message_of(cause) + causes_of(cause, depth - 1);
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();
    return std::string("; caused by a value of type ") + (type ? demangled(type->name()) : "unknown");
  }
  return {};
}
}  // namespace

std::string type_name(const std::exception& e) {
  auto name = demangled(typeid(e).name());
  constexpr std::string_view nested = "std::_Nested_exception<";  // what std::throw_with_nested makes of a type
  if (name.starts_with(nested) && name.ends_with('>')) name = name.substr(nested.size(), name.size() - nested.size() - 1);
  return name;
}

std::optional<Thrown> catch_thrown(const std::function<void()>& call, bool (*is_final)() noexcept) {
  const auto trouble = [&] { return is_final && is_final() ? core::Trouble::final_exception : core::Trouble::exception; };
  try {
    call();
    return std::nullopt;
  } catch (const Reject& e) {
    return Thrown{core::Trouble::rejected, "deja::Reject", e.what() + causes_of(e), {}};
  } catch (const Unavailable& e) {
    return Thrown{core::Trouble::unavailable, "deja::Unavailable", e.what() + causes_of(e), e};
  } catch (const Oversized& e) {
    return Thrown{core::Trouble::oversized, "oversized event", e.what(), {}};
  } catch (const std::exception& e) {
    const auto failure = trouble();  // asks what is handled now
    return Thrown{failure, type_name(e), message_of(e) + causes_of(e), {}};
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();
    const std::string name = type ? demangled(type->name()) : "unknown";
    return Thrown{trouble(), name, "the handler threw a value of type " + name + ", which is no std::exception", {}};
  }
}

}  // namespace deja::runtime
