#include "cli/context.h"
#include "cli/doctor.h"
#include "postgres/abandoned_lanes.h"
#include "postgres/explain.h"
#include "postgres/inspection.h"
#include "postgres/migrations.h"
#include "postgres/parked_admin.h"
#include "postgres/rights.h"

namespace deja::cli {

std::string_view word(Status status) {
  switch (status) {
    case Status::ok: return "ok";
    case Status::warn: return "warn";
    case Status::fail: return "fail";
  }
  return "";
}

bool Findings::failed() const { return !names_of_failed().empty(); }

std::string Findings::names_of_failed() const {
  std::string names;
  for (const auto& f : all_) {
    if (f.status == Status::fail && (", " + names + ",").find(", " + f.check + ",") == std::string::npos) names += (names.empty() ? "" : ", ") + f.check;
  }
  return names;
}

namespace {

std::unique_ptr<postgres::Connection> check_link(const config::Config& config, Findings& findings) {
  try {
    auto connection = open_postgres(config, "doctor");
    findings.ok("postgres", "reachable, login accepted");
    return connection;
  } catch (const Stop& stop) {
    const auto* remedy = stop.exit_code() == exit_code::no_permission ? "correct user and password in postgres.url, or pg_hba.conf"
                         : stop.exit_code() == exit_code::configuration ? "correct postgres.url (or $DEJA_POSTGRES)"
                                                                        : "start the server, or correct host and port in postgres.url";
    findings.fail("postgres", stop.what(), remedy);
    return nullptr;
  }
}

void check_server(const config::Config& config, const postgres::ServerFacts& server, Findings& findings) {
  if (server.standby) {
    findings.fail("postgres.writable", "this server is a standby", "point postgres.url at the primary (target_session_attrs=read-write)");
  } else if (server.read_only) {
    findings.warn("postgres.writable", "default_transaction_read_only is on", "deja's own transactions say READ WRITE; other tools may be surprised");
  } else {
    findings.ok("postgres.writable", "PostgreSQL " + server.version + ", a primary");
  }

  if (server.fsync == "off" || server.full_page_writes == "off") {
    findings.warn("postgres.durability", "fsync or full_page_writes is off: a crash of the server can damage the database", "switch both on, except for tests");
  } else if (server.synchronous_commit == "off") {
    findings.warn("postgres.durability", "synchronous_commit is off: a crash of the server takes back the last commits, whose events may be in Kafka already",
                  "switch synchronous_commit on for the role \"" + server.role + "\"");
  } else {
    findings.ok("postgres.durability", "synchronous_commit is " + server.synchronous_commit);
  }

  const auto free = server.max_connections - server.reserved_connections - server.used_connections;
  const auto wanted = config.integer("postgres.connections") + 2;  // and one each to watch and to publish
  const auto detail = std::to_string(free) + " of " + std::to_string(server.max_connections) + " connections are free, an instance takes " + std::to_string(wanted);
  if (free < wanted) {
    findings.warn("postgres.connections", detail, "raise max_connections, or lower postgres.connections");
  } else {
    findings.ok("postgres.connections", detail);
  }

  if (server.role_schema_exists) {
    findings.warn("postgres.search_path", "there is a schema named like the role \"" + server.role + "\": a handler's unqualified tables land in it",
                  "qualify the tables, or use a role of another name");
  } else {
    findings.ok("postgres.search_path", "no schema is named like the role \"" + server.role + "\"");
  }
  if (server.wal_compression == "pglz" || server.wal_compression == "on") {
    findings.warn("postgres.wal_compression", "wal_compression = pglz slows inserts of random keys down after a checkpoint", "wal_compression = lz4 or off");
  }
}

bool check_schema_version(postgres::Connection& connection, const std::string& schema, Findings& findings) {
  try {
    postgres::check_schema(connection, schema);
    findings.ok("schema", "\"" + schema + "\" fits this build (version " + std::to_string(postgres::schema_version()) + ")");
    return true;
  } catch (const Stop& stop) {
    findings.fail("schema", stop.what(), stop.exit_code() == exit_code::no_permission ? "grant the role its rights on the schema" : "deja migrate");
    return false;
  }
}

void check_grants(postgres::Connection& connection, const std::string& schema, Findings& findings) {
  const auto missing = postgres::missing_rights(connection, schema);
  std::string names;
  for (const auto& right : missing) names += (names.empty() ? "" : ", ") + right;
  if (missing.empty()) {
    findings.ok("grants", "the role has what a consumer needs");
  } else if (const auto role = postgres::role_of_login(connection, schema)) {
    findings.warn("grants", "this login has the rights of schemas/roles/" + *role + ".sql, and not those of a program", "run doctor with the program's own login, too");
  } else {
    findings.fail("grants", "missing: " + names, "grant them as schemas/roles/consumer.sql does");
  }
  if (postgres::commit_guard_present(connection, schema)) {
    findings.ok("commit_guard", "a handler's own COMMIT is refused");
  } else {
    findings.fail("commit_guard", "the trigger lane_is_closed on " + schema + ".lanes is missing or disabled: a handler's own COMMIT would go unnoticed",
                  "enable it, or make it again as the first migration does (deja migrate --dry-run on an empty database shows how)");
  }
}

// L11
void check_abandoned_lanes(postgres::Connection& connection, const std::string& schema, const std::string& group, Findings& findings) {
  std::vector<postgres::AbandonedLane> nobodys, stopped;
  for (auto& lane : postgres::explained(connection, [&] { return postgres::AbandonedLanes(schema, group).find(connection, {}, {}); }))
    (lane.other_program && !lane.group_runs ? stopped : nobodys).push_back(std::move(lane));
  if (!nobodys.empty())
    findings.fail("abandoned_lanes", "no program that runs handles these lanes, and they hold events that are not published, or parked records: " + postgres::in_words(nobodys),
                  "let a program of the group handle the topic again until they are published, or start it once with --abandon to leave them in the database");
  if (!stopped.empty())
    findings.warn("abandoned_lanes", "no program of the group runs, and events wait to be published: " + postgres::in_words(stopped), "start the program that handles the topic");
  if (nobodys.empty() && stopped.empty()) findings.ok("abandoned_lanes", "no lane without a program holds events or parked records");
}

// R5
void check_grown_topics(postgres::Connection& connection, const std::string& schema, const std::string& group, Findings& findings) {
  const auto grown = postgres::ParkedAdmin(connection, schema, group).grown_topics();
  for (const auto& topic : grown)
    findings.warn("grown_topics", topic.topic + " of group " + topic.group + " got partitions (" + topic.partitions + ") while " + std::to_string(topic.parked) + " of its records are parked: later records of their keys may be in other partitions now, and pass them",
                  "where order matters, pause the new partitions (deja lanes pause) until what was parked before is done (deja parked list --topic " + topic.topic + ")");
  if (grown.empty()) findings.ok("grown_topics", "no topic grew while records of it are parked");
}

// O2
void check_events_set_aside(postgres::Admin& admin, Findings& findings) {
  std::int64_t events = 0;
  std::string cause;
  for (const auto& lane : admin.outbox()) {
    events += lane.stuck;
    if (lane.stuck_cause) cause = *lane.stuck_cause;
  }
  if (events == 0) return findings.ok("events_set_aside", "Kafka has refused no event that still waits");
  findings.warn("events_set_aside", std::to_string(events) + " events are set aside, which Kafka refuses or which are behind such a one" + (cause.empty() ? "" : ", last: " + cause),
                "deja outbox list shows them: create the topic, grant the right, or raise max.message.bytes; then deja outbox retry, or deja outbox discard");
}

}  // namespace

DatabaseFacts check_postgres(const config::Config& config, const std::string& group, Findings& findings) {
  DatabaseFacts facts;
  const auto connection = check_link(config, findings);
  if (!connection) return facts;
  const auto& schema = config.text("postgres.schema");
  try {
    if (postgres::behind_transaction_pooler(*connection)) {
      findings.fail("postgres.pooler", "a pooler stands between deja and the server: sessions are not deja's own", "point postgres.url at the server itself, or use session pooling");
    }
    check_server(config, postgres::server_facts(*connection), findings);
    if (!check_schema_version(*connection, schema, findings)) return facts;
    check_grants(*connection, schema, findings);
    postgres::Admin admin(*connection, schema, group);
    facts.handlers = admin.handlers();
    facts.lanes = admin.lanes();
    facts.event_topics = postgres::waiting_event_topics(*connection, schema, group);
    check_abandoned_lanes(*connection, schema, group, findings);
    check_grown_topics(*connection, schema, group, findings);
    check_events_set_aside(admin, findings);
    facts.known = true;
  } catch (const Stop& stop) {
    findings.fail("postgres.questions", stop.what(), "mend what is named and run doctor again");
  }
  return facts;
}

}  // namespace deja::cli
