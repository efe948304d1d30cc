// The ceiling: the statements of the benchmarked consumer, played to Postgres from memory by bare libpq. No Kafka, no keys to
// hash, no handler. The database has deja's schema; lanes, batches, keys and rows have the sizes that the consumer's have.
//
// usage: deja-bench-plain URL RECORDS LANES CONNECTIONS BATCH VALUE_BYTES
// It makes the lanes and its input, prints "ready", waits for a line on stdin, and ends when all is committed.
#include <libpq-fe.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "deja-bench-plain: %s\n", what.c_str());
  std::_Exit(1);
}

Connection connect(const std::string& url) {
  Connection connection(PQconnectdb(url.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) fail(PQerrorMessage(connection.get()));
  PQclear(PQexec(connection.get(), "set client_min_messages = error; set idle_in_transaction_session_timeout = 30000; set lock_timeout = 10000"));
  return connection;
}

Result checked(PGconn* connection, PGresult* raw) {
  Result result(raw, PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail(PQerrorMessage(connection));
  return result;
}

Result exec(PGconn* connection, const std::string& sql) { return checked(connection, PQexec(connection, sql.c_str())); }

struct Lane {
  int id = 0;
  std::string token;
  std::int64_t batch_seq = 0;
  std::int64_t next_offset = 0;
  std::vector<std::string> keys;  // ascending within each batch, as the consumer sorts them
  std::vector<std::string> rows;
  bool taken = false;
};

std::string literal(const std::string& text) { return "'" + text + "'"; }

std::string random_uuid(std::mt19937_64& random) {
  char text[37];
  const auto high = random();
  const auto low = random();
  std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                static_cast<unsigned>(high & 0xffff), static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xffffffffffff));
  return text;
}

std::vector<Lane> make_lanes(PGconn* connection, std::size_t records, std::size_t count, std::size_t batch, std::size_t value_bytes) {
  std::mt19937_64 random(std::random_device{}());
  std::vector<Lane> lanes(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto made = exec(connection, "insert into deja.lanes (group_id, topic, partition, lane, next_offset, owner_token) values ('bench', 'bench', " +
                                           std::to_string(i) + ", 0, 0, gen_random_uuid()) returning id, owner_token");
    lanes[i].id = std::atoi(PQgetvalue(made.get(), 0, 0));
    lanes[i].token = PQgetvalue(made.get(), 0, 1);
    for (std::size_t n = i; n < records; n += count) {
      lanes[i].keys.push_back(random_uuid(random));
      const auto number = std::to_string(n);
      lanes[i].rows.push_back("(" + literal("key-" + std::to_string(n % 1000)) + "," + literal(number + std::string(value_bytes - number.size(), 'v')) + ")");
    }
    for (std::size_t at = 0; at < lanes[i].keys.size(); at += batch) {
      const auto end = std::min(at + batch, lanes[i].keys.size());
      std::sort(lanes[i].keys.begin() + static_cast<std::ptrdiff_t>(at), lanes[i].keys.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  return lanes;
}

// One batch: lane row, keys, effects, close, commit; as many round trips as the consumer needs.
void play(PGconn* connection, Lane& lane, std::size_t batch, std::mt19937_64& random) {
  const auto begin = static_cast<std::size_t>(lane.next_offset);
  const auto end = std::min(begin + batch, lane.keys.size());
  const auto started = exec(
      connection,
      "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; update deja.lanes set batch_seq = batch_seq + 1, next_offset = " + std::to_string(end) +
          ", published_seq = greatest(published_seq, 0), clean = false, open = true, last_commit_at = now(), leader_epoch = 0, witness_timestamp = 0, "
          "witness_digest = E'\\\\x0102030405060708' where id = " + std::to_string(lane.id) + " and owner_token = '" + lane.token + "' and batch_seq = " +
          std::to_string(lane.batch_seq) + " and next_offset = " + std::to_string(lane.next_offset) +
          " returning next_event_seq, parked_version, (select open_segment from deja.outbox_state)");
  if (PQntuples(started.get()) != 1) fail("the lane row is not as it was left");

  std::string keys = "{", digests = "{", offsets = "{", rows = "insert into \"bench_effects\" (\"record_key\",\"value\") values ";
  for (auto n = begin; n < end; ++n) {
    const char* const comma = n == begin ? "" : ",";
    keys += comma + lane.keys[n];
    digests += comma + std::to_string(static_cast<std::int64_t>(random()));
    offsets += comma + std::to_string(n);
    rows += comma + lane.rows[n];
  }
  keys += "}", digests += "}", offsets += "}";
  const auto lane_id = std::to_string(lane.id);
  const char* const values[] = {keys.c_str(), digests.c_str(), offsets.c_str(), lane_id.c_str()};
  const auto fresh = checked(connection, PQexecParams(connection,
      "insert into deja.keys_1 (key, digest, lane, \"offset\") select k, d, $4::int, o from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as t(k, d, o) "
      "on conflict do nothing returning key", 4, nullptr, values, nullptr, nullptr, 0));
  if (PQntuples(fresh.get()) != static_cast<int>(end - begin)) fail("a key was known");

  exec(connection, rows + ";\nset local synchronous_commit to default; update deja.lanes set open = false, next_event_seq = next_event_seq + 0 where id = " +
                       lane_id + ";");
  exec(connection, "COMMIT");
  ++lane.batch_seq;
  lane.next_offset = static_cast<std::int64_t>(end);
}

void work(const std::string& url, std::vector<Lane>& lanes, std::mutex& mutex, std::size_t batch, std::size_t first) {
  const auto connection = connect(url);
  std::mt19937_64 random(std::random_device{}());
  for (std::size_t turn = first;;) {
    Lane* mine = nullptr;
    bool left = false;
    {
      const std::lock_guard lock(mutex);
      for (std::size_t i = 0; i < lanes.size() && !mine; ++i) {
        Lane& lane = lanes[(turn + i) % lanes.size()];
        if (static_cast<std::size_t>(lane.next_offset) == lane.keys.size()) continue;
        left = true;
        if (!lane.taken) mine = &lane;
      }
      if (mine) mine->taken = true;
    }
    if (!left) return;
    ++turn;
    if (!mine) {
      std::this_thread::yield();
      continue;
    }
    play(connection.get(), *mine, batch, random);
    const std::lock_guard lock(mutex);
    mine->taken = false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: deja-bench-plain URL RECORDS LANES CONNECTIONS BATCH VALUE_BYTES\n");
    return 64;
  }
  const std::string url = argv[1];
  const auto number = [&](int i) { return static_cast<std::size_t>(std::strtoul(argv[i], nullptr, 10)); };
  const auto records = number(2), lane_count = number(3), connections = number(4), batch = number(5), value_bytes = number(6);
  if (records == 0 || lane_count == 0 || connections == 0 || batch == 0 || value_bytes < 20) fail("every number must be above 0, VALUE_BYTES 20 or more");

  std::vector<Lane> lanes = make_lanes(connect(url).get(), records, lane_count, batch, value_bytes);
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < connections; ++i)
    threads.emplace_back([&, i] { work(url, lanes, mutex, batch, i * lane_count / connections); });
  for (auto& thread : threads) thread.join();
  return 0;
}
