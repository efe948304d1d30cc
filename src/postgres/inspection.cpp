#include "postgres/inspection.h"

#include <array>
#include <string_view>

#include "postgres/columns.h"
#include "postgres/explain.h"

namespace deja::postgres {
namespace {

struct Right {
  std::string_view table;
  std::string_view rights;  // as has_table_privilege takes them, one at a time
};

// What a consumer does with each table; schemas/roles/consumer.sql grants the same, and what commands of operators need.
constexpr std::array wanted_rights = {
    Right{"schema_version", "select"},
    Right{"recipes", "select,insert,update"},
    Right{"handlers", "select,insert,update,delete"},
    Right{"lanes", "select,insert,update"},
    Right{"key_generations", "select"},
    Right{"keys_1", "select,insert,delete"},
    Right{"outbox_state", "select,update"},
    Right{"outbox_0", "select,insert,truncate"},
    Right{"outbox_1", "select,insert,truncate"},
    Right{"outbox_2", "select,insert,truncate"},
    Right{"outbox", "select"},
    Right{"outbox_stuck", "select,insert,update,delete"},
    Right{"dead_letters", "select,insert,update"},
    Right{"breakers", "select,insert,update,delete"},
    Right{"parked", "select,insert,update,delete"},
    Right{"retry_budget", "select,insert,update,delete"},
    Right{"floods", "select,insert,update,delete"},
    Right{"flood_rulings", "select,update,delete"},
};

}  // namespace

ServerFacts server_facts(Connection& connection) {
  return explained(connection, [&] {
    const auto result = connection.exec(
        "select current_setting('server_version'), current_setting('server_version_num')::int, session_user, current_database(), pg_is_in_recovery(), "
        "(select reset_val = 'on' from pg_settings where name = 'default_transaction_read_only'), current_setting('synchronous_commit'), current_setting('fsync'), "
        "current_setting('full_page_writes'), current_setting('default_transaction_isolation'), current_setting('wal_compression'), "
        "current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int, "
        "(select sum(numbackends)::bigint from pg_stat_database), "  // pg_stat_activity hides what sessions of other roles are
        "exists (select 1 from pg_namespace where nspname = session_user)");
    const auto found = result[0];
    Columns c(found);
    ServerFacts facts;
    facts.version = c.text();
    facts.version = facts.version.substr(0, facts.version.find(' '));
    facts.version_number = static_cast<int>(c.number());
    facts.role = c.text();
    facts.database = c.text();
    facts.standby = c.flag();
    facts.read_only = c.flag();
    facts.synchronous_commit = c.text();
    facts.fsync = c.text();
    facts.full_page_writes = c.text();
    facts.isolation = c.text();
    facts.wal_compression = c.text();
    facts.max_connections = c.number();
    facts.reserved_connections = c.number();
    facts.used_connections = c.number();
    facts.role_schema_exists = c.flag();
    return facts;
  });
}

std::vector<std::string> missing_rights(Connection& connection, const std::string& schema) {
  return explained(connection, [&] {
    std::vector<std::string> missing;
    if (!connection.exec_params("select has_schema_privilege($1, 'usage')", {schema})[0][0].as<bool>()) missing.push_back("usage on schema " + schema);
    for (const auto& [table, rights] : wanted_rights) {
      // By its row in the catalogue: looking a name up needs the right to use the schema.
      const auto result = connection.exec_params(
          "select r, has_table_privilege(c.oid, r) from unnest(string_to_array($3, ',')) r left join (pg_class c join pg_namespace n on n.oid = c.relnamespace "
          "and n.nspname = $1) on c.relname = $2",
          {schema, std::string(table), std::string(rights)});
      for (const auto& found : result) {
        Columns c(found);
        const auto right = c.text();
        const auto held = c.maybe_text();
        if (held == "t") continue;
        missing.push_back((held ? right + " on " : "the table ") + schema + "." + std::string(table));
        if (!held) break;
      }
    }
    return missing;
  });
}

bool commit_guard_present(Connection& connection, const std::string& schema) {
  return explained(connection, [&] {
    return !connection
                .exec_params("select 1 from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace "
                             "where n.nspname = $1 and c.relname = 'lanes' and t.tgname = 'lane_is_closed' and t.tgdeferrable and t.tginitdeferred and t.tgenabled in ('O', 'A')",
                             {schema})
                .empty();
  });
}

bool behind_transaction_pooler(Connection& connection) {
  return explained(connection, [&] {
    // libpq learned the process id when it connected; a pooler gives one of its own, or moves us between sessions.
    return connection.exec("select pg_backend_pid()")[0][0].as<int>() != connection.backend_pid();
  });
}

std::vector<std::string> waiting_event_topics(Connection& connection, const std::string& schema, const std::string& group) {
  return explained(connection, [&] {
    std::vector<std::string> topics;
    const auto result = connection.exec_params(with_schema("select distinct o.topic from {schema}.outbox o join {schema}.lanes l on l.id = o.lane "
                                                           "where o.seq > l.published_seq and ($1 = '' or l.group_id = $1) order by 1",
                                                           schema),
                                               {group});
    for (const auto& found : result) topics.push_back(Columns(found).text());
    return topics;
  });
}

std::string prepared_transactions(Connection& connection) {
  const auto found = connection.exec(
      "select coalesce(string_agg(quote_literal(gid) || ' of ' || owner || ', prepared ' || to_char(prepared at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
      "'; ' order by prepared), '') from (select * from pg_prepared_xacts where database = current_database() order by prepared limit 3) p");
  return found[0][0].c_str();
}

std::string server_version_text(Connection& connection) {
  return explained(connection, [&] {
    const std::string text = connection.exec("select current_setting('server_version')")[0][0].c_str();
    return text.substr(0, text.find(' '));
  });
}

std::string library_version() { return PQXX_VERSION; }

}  // namespace deja::postgres
