#include "postgres/stuck_admin.h"

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/explain.h"
#include "postgres/lane_change.h"
#include "postgres/sql.h"

namespace deja::postgres {
namespace {

constexpr int stuck_page = 1'000;

template <class PqxxRow>
StuckListing stuck_listing(const PqxxRow& row) {
  Columns c(row);
  StuckListing s;
  s.lane_id = static_cast<std::int32_t>(c.number());
  s.group = c.text();
  s.topic = c.text();
  s.partition = c.number();
  s.lane = c.number();
  s.seq = c.number();
  s.event_id = c.text();
  s.event_topic = c.text();
  s.state = c.text();
  s.event_key = c.maybe_bytes();
  s.error = c.maybe_text();
  s.attempts = c.number();
  s.size = c.number();
  s.at = c.text();
  s.stuck_at = c.text();
  return s;
}

std::vector<std::int64_t> numbers_of(const pqxx::result& rows) {
  std::vector<std::int64_t> numbers;
  for (const auto& row : rows) numbers.push_back(row[0].as<std::int64_t>());
  return numbers;
}

}  // namespace

StuckAdmin::StuckAdmin(Connection& connection, std::string schema, std::string group)
    : connection_(connection), schema_(std::move(schema)), group_(group.empty() ? std::nullopt : std::optional(std::move(group))) {}

void StuckAdmin::list(const Question& question, const std::function<bool(const StuckListing&)>& visit) {
  const auto sql = with_schema("select s.lane, l.group_id, l.topic, l.partition, l.lane, s.seq, s.event_id, s.topic, s.state, s.key, s.error, s.attempts, s.size, " + utc("s.at") + ", " + utc("s.stuck_at") +
                               " from {schema}.outbox_stuck s join {schema}.lanes l on l.id = s.lane where ($1::text is null or l.group_id = $1) and ($2::text is null or l.topic = $2) and "
                               "($3::uuid[] is null or s.event_id = any($3::uuid[])) and (s.lane, s.seq) > ($4::int, $5::bigint) order by s.lane, s.seq limit " + std::to_string(stuck_page), schema_);
  const auto topic = question.topic.empty() ? std::nullopt : std::optional(question.topic);
  const auto ids = question.ids ? std::optional(array_text(*question.ids)) : std::nullopt;
  std::int64_t lane = 0, after = 0;
  for (;;) {
    const auto page = explained(connection_, [&] { return connection_.exec_params(sql, {group_, topic, ids, std::to_string(lane), std::to_string(after)}); });
    for (const auto& row : page) {
      const auto found = stuck_listing(row);
      lane = found.lane_id;
      after = found.seq;
      if (!visit(found)) return;
    }
    if (static_cast<int>(page.size()) < stuck_page) return;
  }
}

void StuckAdmin::lock(std::int32_t lane_id) { lock_lane(connection_, schema_, lane_id); }

std::vector<std::int64_t> StuckAdmin::retry(std::int32_t lane_id, const std::vector<std::int64_t>& numbers) {
  const std::vector<std::optional<std::string>> arguments{std::to_string(lane_id), array_text(numbers)};
  auto due = numbers_of(connection_.exec_params(with_schema("select seq from {schema}.outbox_stuck where lane = $1::int and seq = any($2::bigint[]) and state <> 'discarded'", schema_), arguments));
  if (due.empty()) return due;
  connection_.exec_params(with_schema("update {schema}.outbox_stuck set state = 'waiting' where lane = $1::int and state = 'stuck' and key_id is null and seq = any($2::bigint[])", schema_), arguments);
  connection_.exec_params(with_schema("update {schema}.outbox_stuck s set state = 'waiting' where s.lane = $1::int and s.state = 'stuck' and s.key_id in "
                                      "(select key_id from {schema}.outbox_stuck where lane = $1::int and seq = any($2::bigint[]) and state <> 'discarded' and key_id is not null)", schema_), arguments);
  raise_aside_version(connection_, schema_, lane_id);
  return due;
}

std::vector<std::int64_t> StuckAdmin::discard(std::int32_t lane_id, const std::vector<std::int64_t>& numbers) {
  const std::vector<std::optional<std::string>> arguments{std::to_string(lane_id), array_text(numbers)};
  auto changed = numbers_of(connection_.exec_params(
      with_schema("update {schema}.outbox_stuck set state = 'discarded', value = null, headers = '[]' where lane = $1::int and seq = any($2::bigint[]) and state <> 'discarded' returning seq", schema_), arguments));
  if (changed.empty()) return changed;
  connection_.exec_params(with_schema("update {schema}.outbox_stuck s set state = 'waiting' where s.lane = $1::int and s.state = 'stuck' and s.key_id in "
                                      "(select d.key_id from {schema}.outbox_stuck d where d.lane = $1::int and d.seq = any($2::bigint[]) and d.key_id is not null and not exists "
                                      "(select 1 from {schema}.outbox_stuck b where b.lane = d.lane and b.key_id = d.key_id and b.state = 'stuck' and b.seq < d.seq))", schema_), arguments);
  raise_aside_version(connection_, schema_, lane_id);
  return changed;
}

}  // namespace deja::postgres
