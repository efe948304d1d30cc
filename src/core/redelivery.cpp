#include "core/redelivery.h"

#include "core/disposition.h"

namespace deja::core {
namespace {

constexpr TroubleRow trouble_rows[] = {
    {Trouble::rejected, Action::dead, cause::rejected, "handler", "the handler throws `deja::Reject`"},
    {Trouble::exception, Action::attempt, cause::exhausted, "handler", "the handler throws anything else, or ran an SQL statement that failed"},
    {Trouble::final_exception, Action::dead, cause::exhausted, "handler", "the handler throws what it declares as final"},
    {Trouble::at_commit, Action::attempt, cause::exhausted, "commit", "its SQL violates something that is looked at only at COMMIT"},
    {Trouble::too_slow, Action::attempt, cause::exhausted, "handler", "the handler returns after `handler.timeout.ms`"},
    {Trouble::oversized, Action::dead, cause::oversized, "handler", "an event of it is larger than Kafka takes"},
    {Trouble::undecodable, Action::dead, cause::undecodable, "key", "a key function throws"},
    {Trouble::key_missing, Action::dead, cause::key_missing, "key", "it has no idempotency key, or no tenant"},
    {Trouble::conflict, Action::dead, cause::conflict, "claim", "its key came first with another payload"},
    {Trouble::killed_process, Action::dead, cause::killed_process, "process", "the process ended each of the `crash.max.starts` times that it ran alone"},
    {Trouble::killed_connection, Action::dead, cause::killed_connection, "process", "its link to Postgres was lost, while the server stayed up, each of the `crash.max.starts` times that it ran alone"},
    {Trouble::by_operator, Action::dead, cause::by_operator, "operator", "an operator would not wait for it"},
    {Trouble::no_room, Action::dead, cause::overflow, "parking", "it would be parked, a bound of `park.*` is reached, and `park.policy` is `dead`"},
    {Trouble::unavailable, Action::pause, {}, {}, "the handler throws `deja::Unavailable`"},
    {Trouble::breaker_open, Action::pause, {}, {}, "the breaker of a dependency that it needs is open"},
    {Trouble::database_away, Action::pause, {}, {}, "the link to Postgres is lost, or Postgres refuses it"},
    {Trouble::repeat, Action::again, {}, {}, "a deadlock, a serialization failure, a lock that is not to be had"},
    {Trouble::no_permission, Action::stop, {}, {}, "the program's role lacks a right"},
    {Trouble::schema_mismatch, Action::stop, {}, {}, "a table or a column is not there"},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(trouble_rows); ++i)
    if (trouble_rows[i].trouble != static_cast<Trouble>(i)) return false;
  return static_cast<std::size_t>(Trouble::schema_mismatch) + 1 == std::size(trouble_rows);
}
static_assert(in_order());

}  // namespace

std::span<const TroubleRow> trouble_table() { return trouble_rows; }
const TroubleRow& row_of(Trouble trouble) { return trouble_rows[static_cast<std::size_t>(trouble)]; }

Decision decide(const RetryPolicy& policy, Trouble trouble, const Spent& spent, double unit) {
  const auto& row = row_of(trouble);
  if (row.action != Action::attempt) return {row.action, row.cause, {}};
  if (spent.attempts + 1 >= policy.max_attempts || spent.waited >= policy.deadline) return {Action::dead, row.cause, {}};
  return {Action::attempt, row.cause, full_jitter(policy.backoff, static_cast<std::uint32_t>(spent.attempts), unit)};
}

}  // namespace deja::core
