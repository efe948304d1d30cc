#pragma once

#include <cstdint>
#include <string>
#include <string_view>

struct Payment {
  std::string id;
  std::string account;
  std::int64_t amount_cents = 0;
};

/// Reads {"payment_id": text, "account": text, "amount_cents": whole number above 0}; further fields are ignored.
/// Throws deja::Reject, which names the field but shows nothing of the value: reasons end up in logs and dead letters.
Payment parse_payment(std::string_view json);

/// The same three fields, as the event says them.
std::string to_json(const Payment& payment);
