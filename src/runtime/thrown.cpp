#include "runtime/thrown.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <typeinfo>


namespace deja::runtime {

namespace {
std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}
}  // namespace

std::string type_name(const std::exception& e) { return demangled(typeid(e).name()); }

std::optional<Thrown> catch_thrown(const std::function<void()>& call, bool (*is_final)() noexcept) {
  const auto trouble = [&] { return is_final && is_final() ? core::Trouble::final_exception : core::Trouble::exception; };
  try {
    call();
    return std::nullopt;
  } catch (const Reject& e) {
    return Thrown{core::Trouble::rejected, "deja::Reject", e.what(), {}};
  } catch (const Unavailable& e) {
    return Thrown{core::Trouble::unavailable, "deja::Unavailable", e.what(), e};
  } catch (const Oversized& e) {
    return Thrown{core::Trouble::oversized, "oversized event", e.what(), {}};
  } catch (const std::exception& e) {
    std::string message = e.what();
    message.erase(message.find_last_not_of(" \n\r\t") + 1);  // libpqxx ends its messages with a line break
    return Thrown{trouble(), type_name(e), std::move(message), {}};
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();
    const std::string name = type ? demangled(type->name()) : "unknown";
    return Thrown{trouble(), name, "the handler threw a value of type " + name + ", which is no std::exception", {}};
  }
}

}  // namespace deja::runtime
