#pragma once

#include <deja/deja.h>

#include <string>
#include <utility>

/// The program's own tables. No unique constraint: a doubled effect must show.
/// record_key is the key where it is text, else `\x` and its bytes in hexadecimal.
inline constexpr auto probe_tables = R"sql(
create table if not exists probe_effects (
  id          text not null,
  record_key  text,
  seq         bigint not null,
  topic       text not null,
  partition   integer not null,
  "offset"    bigint not null,
  attempt     integer not null,
  pid         integer not null,
  at          timestamptz not null default clock_timestamp()
);
create table if not exists probe_switches (
  name   text primary key,
  value  boolean not null
);
)sql";

/// Does what each record's value says: {"id": text, "seq": whole number, "do": text}. The effect and the events come first and
/// what goes wrong after them, so that whatever is not undone shows.
class Probe {
 public:
  static constexpr auto name = "probe";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  explicit Probe(std::string event_topic) : event_topic_(std::move(event_topic)) {}

  void handle(const deja::Record& record, deja::Transaction& tx);

 private:
  std::string event_topic_;
};
