#include "probe.h"

#include <deja/query.h>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>

#include "script.h"

namespace {

bool is_text(std::string_view bytes) {
  if (bytes.find('\0') != std::string_view::npos) return false;
  try {
    (void)nlohmann::json(bytes).dump();  // throws for what is not UTF-8
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

std::string legible(std::string_view bytes) {
  if (is_text(bytes)) return std::string(bytes);
  constexpr char digits[] = "0123456789abcdef";
  std::string hex = "\\x";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

std::string event_value(const Script& script, std::int64_t n, std::size_t wanted_bytes = 0) {
  nlohmann::ordered_json event{{"id", script.id}, {"seq", script.seq}, {"n", n}};
  const auto bare = event.dump();
  constexpr std::size_t pad_bytes = std::string_view(R"(,"pad":"")").size();
  if (wanted_bytes <= bare.size() + pad_bytes) return bare;
  event["pad"] = std::string(wanted_bytes - bare.size() - pad_bytes, 'x');
  return event.dump();
}

void emit_events(const Script& script, const deja::Record& record, deja::Transaction& tx, const std::string& topic) {
  const bool big = script.action == "emit-big";
  const std::int64_t count = script.action == "emit" ? script.argument : 1;
  const auto key = record.has_key() ? std::optional(record.key()) : std::nullopt;
  for (std::int64_t n = 1; n <= count; ++n) {
    const auto bytes = big ? static_cast<std::size_t>(script.argument) : 0;
    tx.emit({.topic = topic, .key = key, .value = event_value(script, n, bytes)});
  }
}

[[noreturn]] void hang() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

void act(const Script& script, const deja::Record& record, deja::Transaction& tx) {
  const auto& action = script.action;
  const auto number = script.argument;
  if (action == "throw" && (number < 0 || record.attempt() <= number))
    throw std::runtime_error("the probe was told to throw (attempt " + std::to_string(record.attempt()) + ")");
  if (action == "reject") throw deja::Reject("the probe was told to reject");
  if (action == "unavailable" && !tx.query("select 1 from probe_switches where name = 'down' and value").empty())
    throw deja::Unavailable("probe");
  if (action == "sleep") std::this_thread::sleep_for(std::chrono::milliseconds(number));
  if (action == "hang") hang();
  if (action == "abort") std::abort();
  if (action == "segv") std::raise(SIGSEGV);
  if (action == "exit") std::exit(1);  // NOLINT(concurrency-mt-unsafe): as a careless handler would
  if (action == "sql-error") tx.query("select 1 / $1::integer", 0);
  if (action == "swallow-sql-error") {
    try {
      tx.query("select 1 / $1::integer", 0);
    } catch (const pqxx::sql_error&) {  // the mistake that is rehearsed: the server has given the transaction up
    }
  }
  if (action == "commit") tx.query("commit");
  if (action == "slow-sql") tx.query("select pg_sleep($1)", static_cast<double>(number) / 1000.0);
}

}  // namespace

void Probe::handle(const deja::Record& record, deja::Transaction& tx) {
  const Script script = parse_script(record.value());
  tx.insert("probe_effects", {{"id", script.id},
                              {"record_key", record.has_key() ? std::optional(legible(record.key())) : std::nullopt},
                              {"seq", script.seq},
                              {"topic", record.topic()},
                              {"partition", record.partition()},
                              {"offset", record.offset()},
                              {"attempt", record.attempt()},
                              {"pid", getpid()}});
  emit_events(script, record, tx, event_topic_);
  act(script, record, tx);
}

int main(int argc, char** argv) {
  deja::Application app("probe", argc, argv);
  try {
    const auto& settings = app.settings();
    settings.allow_only({"topics", "events.topic"});
    const auto topics = settings.list("topics", {"probe"});
    app.init(probe_tables).handle<Probe>(deja::Topics(topics), settings.text("events.topic", "probe.events"));
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
