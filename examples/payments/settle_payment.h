#pragma once

#include <deja/deja.h>

#include "payment.h"

/// The program's own tables. No unique constraint on the payment: that a payment takes effect once is deja's work, and a doubled
/// effect would show. Balances are numeric, so that no sum of amounts overflows.
inline constexpr auto payment_tables = R"sql(
create table if not exists ledger (
  id            bigint generated always as identity primary key,
  payment_id    text not null,
  account       text not null,
  amount_cents  bigint not null,
  topic         text not null,
  partition     integer not null,
  "offset"      bigint not null,
  applied_at    timestamptz not null default clock_timestamp()
);
create table if not exists accounts (
  account        text primary key,
  balance_cents  numeric not null,
  payments       bigint not null
);
)sql";

class SettlePayment {
 public:
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  void handle(const deja::Record& record, deja::Transaction& tx) {
    const auto payment = parse_payment(record.value());  // throws deja::Reject: poison, dead at once

    tx.insert("ledger", {{"payment_id", payment.id},
                         {"account", payment.account},
                         {"amount_cents", payment.amount_cents},
                         {"topic", record.topic()},
                         {"partition", record.partition()},
                         {"offset", record.offset()}});
    tx.defer("insert into accounts as a (account, balance_cents, payments) values ($1, $2, 1) on conflict (account) do update "
             "set balance_cents = a.balance_cents + excluded.balance_cents, payments = a.payments + 1",
             payment.account, payment.amount_cents);
    tx.emit({.topic = "payments.settled", .key = payment.account, .value = to_json(payment)});
  }
};
