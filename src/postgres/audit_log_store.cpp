#include "postgres/audit_log_store.h"

#include "postgres/columns.h"
#include "postgres/sql.h"

namespace deja::postgres {

AuditLogStore::AuditLogStore(const std::string& schema)
    // the trigger audit_log_is_chained fills in the rest
    : append_(with_schema("insert into {schema}.audit_log (action, group_id, reason, detail) values ($1, nullif($2, ''), $3, $4::json) returning id", schema)),
      count_(with_schema("select count(*) from {schema}.audit_log", schema)),
      read_(with_schema("select id, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), who, action, group_id, reason, detail::text, "
                        "encode(hash, 'hex') from {schema}.audit_log where id > $1::bigint and ($2 = '' or group_id = $2) order by id limit 500", schema)),
      // the hash as the trigger computes it
      verify_(with_schema(
          "select id, case when n <> id then 'rows are missing before it' when previous <> expected then 'it does not follow the row before it' "
          "else 'it is not as it was written' end from (select id, previous, hash, row_number() over w as n, coalesce(lag(hash) over w, ''::bytea) as expected, "
          "sha256(previous || convert_to(json_build_array(id, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), who, action, group_id, "
          "reason, detail::text)::text, 'UTF8')) as computed from {schema}.audit_log window w as (order by id)) link "
          "where n <> id or previous <> expected or hash <> computed order by id limit 1", schema)) {}

std::int64_t AuditLogStore::append(Connection& c, const AuditEntry& entry) const {
  return c.exec_params(append_, {entry.action, entry.group, entry.reason, entry.detail})[0][0].as<std::int64_t>();
}

void AuditLogStore::read(Connection& c, const std::string& group, const std::function<bool(const AuditRow&)>& visit) const {
  for (std::int64_t after = 0;;) {
    const auto page = c.exec_params(read_, {std::to_string(after), group});
    if (page.empty()) return;
    for (const auto& found : page) {
      Columns columns(found);
      AuditRow row;
      row.id = after = columns.number();
      row.at = columns.text();
      row.who = columns.text();
      row.action = columns.text();
      row.group = columns.maybe_text();
      row.reason = columns.text();
      row.detail = columns.text();
      row.hash = columns.text();
      if (!visit(row)) return;
    }
  }
}

AuditLogStore::Verdict AuditLogStore::verify(Connection& c) const {
  Verdict verdict;
  verdict.rows = c.exec(count_)[0][0].as<std::int64_t>();
  const auto broken = c.exec(verify_);
  if (!broken.empty()) verdict.broken = BrokenLink{broken[0][0].as<std::int64_t>(), broken[0][1].c_str()};
  return verdict;
}

}  // namespace deja::postgres
