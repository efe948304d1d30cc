#include "postgres/lane_moves.h"

#include "postgres/columns.h"
#include "postgres/sql.h"

namespace deja::postgres {

namespace {
const std::string of_partition = " where group_id = $1 and topic = $2 and partition = $3::int and lane < lane_count";
// The owner is fenced, what it knows of the log is void, and its pause is over; suspects were those of the place before.
const std::string fenced = "owner_token = null, batch_seq = batch_seq + 1, suspect_from = null, suspect_records = 0, suspect_starts = 0, "
                           "leader_epoch = null, witness_offset = null, witness_timestamp = null, witness_digest = null, paused_cause = null, blocked_by = null";
// The owner is fenced, so that it takes over again and reads the order. It did not die, so it leaves no suspects behind (R1); those of one that did
// are found at the next death.
const std::string ordered = "owner_token = null, batch_seq = batch_seq + 1";
// An order for one record means nothing in another place, or another log.
const std::string no_record_ordered = "dead_letter_at = null, dead_letter_reason = null, ";
// One lane of it, or all.
const std::string of_lane = of_partition + " and lane = coalesce($4::int, lane)";

std::vector<std::optional<std::string>> arguments(const LanePartition& p) { return {p.group, p.topic, std::to_string(p.partition)}; }
std::vector<std::optional<std::string>> arguments(const LanePartition& p, std::initializer_list<std::string> more) {
  auto all = arguments(p);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
std::vector<std::optional<std::string>> arguments(const LanePartition& p, std::optional<std::int32_t> lane, std::initializer_list<std::string> more) {
  auto all = arguments(p);
  all.push_back(lane ? std::optional(std::to_string(*lane)) : std::nullopt);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
}  // namespace

LaneMoves::LaneMoves(std::string schema) : schema_(std::move(schema)) {}

std::string LaneMoves::sql(std::string_view text) const { return with_schema(text, schema_); }

std::vector<std::int32_t> LaneMoves::partitions(Connection& c, const std::string& group, const std::string& topic) const {
  std::vector<std::int32_t> found;
  for (const auto& r : c.exec_params(sql("select distinct partition from {schema}.lanes where group_id = $1 and topic = $2 and lane < lane_count order by 1"), {group, topic}))
    found.push_back(r[0].as<std::int32_t>());
  return found;
}

std::vector<LanePosition> LaneMoves::lanes(Connection& c, const LanePartition& partition) const {
  std::vector<LanePosition> found;
  const auto result = c.exec_params(sql("select lane, next_offset, next_event_seq, owner_token is not null and not clean, paused_cause, blocked_by, pause_reason, case when dead_letter_at >= next_offset then dead_letter_at end from {schema}.lanes" + of_partition + " order by lane"), arguments(partition));
  for (const auto& r : result) {
    Columns columns(r);
    LanePosition position;
    position.lane = static_cast<std::int32_t>(columns.number());
    position.next_offset = columns.number();
    position.next_event_seq = columns.number();
    position.owned = columns.flag();
    position.paused_cause = columns.maybe_text();
    position.blocked_by = columns.maybe_text();
    position.pause_reason = columns.maybe_text();
    position.dead_letter_at = columns.maybe_number();
    found.push_back(std::move(position));
  }
  return found;
}

RangeContent LaneMoves::content(Connection& c, const LanePartition& partition, std::int64_t from, std::int64_t until,
                                bool with_keys) const {
  const auto range = arguments(partition, {std::to_string(from), std::to_string(until)});
  const std::string rows_in_range = " where group_id = $1 and topic = $2 and partition = $3::int and \"offset\" >= $4::bigint and \"offset\" < $5::bigint and "
                                    "incarnation in (select incarnation from {schema}.lanes" + of_partition + ")";
  RangeContent content;
  const auto own = c.exec_params(sql("select (select count(*) from {schema}.dead_letters" + rows_in_range + "), (select count(*) from {schema}.parked" + rows_in_range + ")"), range);
  content.dead_letters = own[0][0].as<std::int64_t>();
  content.parked = own[0][1].as<std::int64_t>();
  if (!with_keys) return content;
  content.known_keys = c.exec_params(sql("select count(distinct (lane, \"offset\")) from {schema}.keys_1 where \"offset\" >= $4::bigint and \"offset\" < $5::bigint and "
                                         "lane = any(array(select id from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int))"),
                                     range)[0][0].as<std::int64_t>();
  return content;
}

LaneMoves::KeyFree LaneMoves::key_free(Connection& c, const std::string& group, const std::string& topic) const {
  const auto rows = c.exec_params(sql("select strategy like 'offset:%', coalesce(previous_strategy like 'offset:%', false) from {schema}.recipes where group_id = $1 and topic = $2"), {group, topic});
  if (rows.empty()) return {};
  return {rows[0][0].as<bool>(), rows[0][1].as<bool>()};
}

std::vector<LanePosition> LaneMoves::lock(Connection& c, const LanePartition& partition) const {
  // B1: the locks first, what they protect in a further statement
  c.exec_params(sql("select 1 from {schema}.lanes" + of_partition + " order by lane for update"), arguments(partition));
  return lanes(c, partition);
}

void LaneMoves::reset(Connection& c, const LanePartition& partition, std::int64_t next_offset, std::int64_t reread_until) const {
  c.exec_params(sql("update {schema}.lanes set next_offset = $4::bigint, reread_until = greatest(reread_until, $5::bigint), " + no_record_ordered + fenced + of_partition),
                arguments(partition, {std::to_string(next_offset), std::to_string(reread_until)}));
}

std::string LaneMoves::accept_loss(Connection& c, const LanePartition& partition, std::int64_t next_offset, bool never_back) const {
  const std::string incarnation = c.exec("select gen_random_uuid()")[0][0].c_str();
  c.exec_params(sql("update {schema}.lanes set next_offset = greatest($4::bigint, case when $5::boolean then next_offset end), incarnation = $6::uuid, "
                    "reread_until = 0, " + no_record_ordered + fenced + of_partition),
                arguments(partition, {std::to_string(next_offset), never_back ? "true" : "false", incarnation}));
  return incarnation;
}

void LaneMoves::pause(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane, const std::string& reason) const {
  c.exec_params(sql("update {schema}.lanes set pause_reason = $5, " + ordered + of_lane), arguments(partition, lane, {reason}));
}

void LaneMoves::resume(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane) const {
  c.exec_params(sql("update {schema}.lanes set pause_reason = null, paused_cause = null, blocked_by = null, " + ordered + of_lane + " and pause_reason is not null"),
                arguments(partition, lane, {}));
}

// Which lane the record is in only its owner can say, which passes the order over where it is not.
void LaneMoves::dead_letter(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane, std::int64_t offset, const std::string& reason) const {
  c.exec_params(sql("update {schema}.lanes set dead_letter_at = $5::bigint, dead_letter_reason = $6, " + ordered + of_lane + " and next_offset <= $5::bigint"),
                arguments(partition, lane, {std::to_string(offset), reason}));
}

std::optional<std::int64_t> LaneMoves::dead_letter_id(Connection& c, const LanePartition& partition, std::int64_t offset) const {
  const auto found = c.exec_params(sql("select d.id from {schema}.dead_letters d where d.group_id = $1 and d.topic = $2 and d.partition = $3::int and d.\"offset\" = $4::bigint "
                                       "and d.incarnation = (select incarnation from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int and lane = 0)"),
                                   arguments(partition, {std::to_string(offset)}));
  return found.empty() ? std::nullopt : std::optional(found[0][0].as<std::int64_t>());
}

}  // namespace deja::postgres
