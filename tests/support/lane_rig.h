#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <deja/deja.h>

#include "core/batch_plan.h"
#include "postgres/migrations.h"
#include "runtime/batch.h"
#include "runtime/failures.h"
#include "testing/scratch_database.h"

// Lanes of several programs side by side on one database, each as its process would work it, without Kafka. Beyond what the users'
// kit can do: programs with other settings, and keys as the test wants them.

namespace deja::test {

/// A database with deja's schema and the test's tables.
struct RigDatabase : testing::ScratchDatabase {
  explicit RigDatabase(const std::string& init_sql) {
    postgres::Connection owner({.url = url(), .what = "test"});
    postgres::migrate(owner, "deja", false);
    owner.exec(init_sql);
  }
  std::string value(const std::string& sql) const {
    postgres::Connection c({.url = url(), .what = "test"});
    return c.exec(sql)[0][0].c_str();
  }
};

struct RigRecord {
  std::string value;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// One program's one lane.
class LaneRig {
 public:
  template <class H, class... Args>
  static LaneRig of(const RigDatabase& database, std::int32_t partition, runtime::KeySettings keys, Args&&... arguments) {
    return LaneRig(database, partition, std::move(keys), detail::make_spec<H>({"test"}, std::forward<Args>(arguments)...));
  }

  /// Sees every record after its keys were made: the way to force keys that collide.
  std::function<void(runtime::PreparedRecord&)> on_prepared;

  /// Runs all to their end, as a lane would: one word for each record. Throws what the lane would have to wait for.
  std::string run(const std::vector<RigRecord>& records) {
    std::vector<core::SourceRecord> sources;
    for (const auto& r : records) sources.push_back(source_of(r));
    std::vector<runtime::PreparedRecord> prepared;
    for (const auto& s : sources) {
      prepared.push_back(preparer_.prepare(s));
      if (on_prepared) on_prepared(prepared.back());
    }
    std::string words;
    core::BatchPlan plan;
    for (std::size_t done = 0; done < prepared.size();) {
      const auto rest = std::span(prepared).subspan(done);
      const auto shape = plan.next(rest.size(), rest.front().source->view.offset);
      const auto settled = try_once(rest.first(shape.records), shape, plan, words);
      done += settled;
      if (settled > 0) plan.committed(done < prepared.size() ? std::optional(prepared[done].source->view.offset) : std::nullopt);
    }
    return words;
  }

  /// From now on a record has so many attempts: what fails is parked. Nothing drains it here.
  void allow(core::RetryPolicy policy) { settings_.retry = policy; }
  /// dlq.order = hold.
  void hold() {
    settings_.hold = true;
    connection_->exec("begin read write; update deja.lanes set holds = true; commit");
    row_.holds = true;
  }
  int backend_pid() const { return connection_->backend_pid(); }
  std::int64_t next_offset() const { return row_.next_offset; }

  /// As after `deja lanes reset --to-offset 0`: what is below `until` was consumed before.
  void reread(std::int64_t until) {
    connection_->exec("begin read write; update deja.lanes set next_offset = 0, reread_until = " + std::to_string(until) + "; commit");
    take_over();
  }

  /// As a new owner after a crash.
  void take_over() {
    connection_ = std::make_unique<postgres::Connection>(options_);
    prepared_ = std::make_unique<postgres::PreparedStatements>();
    row_ = stores_.lanes.take_over(*connection_, name_).value();
    next_offset_ = row_.next_offset;
  }

 private:
  LaneRig(const RigDatabase& database, std::int32_t partition, runtime::KeySettings keys, detail::HandlerSpec spec)
      : options_{.url = database.url(), .what = "test", .read_only = true}, name_{"test", "test", partition, 0},
        spec_(std::make_unique<detail::HandlerSpec>(std::move(spec))), handler_(spec_->make()),
        settings_{.scope = keys.scope, .dlq_topic = {}, .quarantine_conflicts = true, .dlq_headers_allow = {"*"}, .dlq_headers_redact = {"*token*"}, .group = "test"},
        preparer_(*spec_, keys) {
    postgres::Connection c(options_);
    stores_.lanes.create(c, name_, 0);
    take_over();
  }

  core::SourceRecord source_of(const RigRecord& record) {
    const auto owned = std::make_shared<const RigRecord>(record);
    core::SourceRecord source;
    source.view.topic = "test";
    source.view.partition = name_.partition;
    source.view.offset = next_offset_++;
    source.view.timestamp_ms = 0;
    source.view.value = owned->value;
    for (const auto& [name, value] : owned->headers) source.headers.push_back({name, value});
    source.view.headers = source.headers;
    source.owner = owned;
    return source;
  }

  std::size_t try_once(std::span<const runtime::PreparedRecord> records, const core::BatchShape& shape, core::BatchPlan& plan, std::string& words) {
    runtime::Batch batch(settings_, stores_, *connection_, *prepared_, *spec_, *handler_, row_, parked_, random_);
    runtime::BatchResult result;
    try {
      batch.run(records, 0, shape.savepoints ? runtime::Pass::savepoints : runtime::Pass::plain, result, shape.forced);
    } catch (const runtime::NeedsSavepoints&) {
      plan.needs_savepoints(records.back().source->view.offset);
      return 0;
    } catch (const runtime::FailedAtCommit& e) {
      plan.failed_at_commit(records.size(), e.what());
      return 0;
    } catch (const runtime::RepeatBatch&) {
      ++repeats;
      plan.repeat(records.size());
      return 0;
    }
    row_ = result.row;
    for (const auto& p : result.parked.added) parked_.add(runtime::remembered(p, {}));
    for (const auto& [ordering, offset] : result.parked.held) parked_.hold(ordering, offset);
    for (const auto& o : result.outcomes) words += (words.empty() ? "" : " ") + std::string(core::word(o.disposition)) + (o.disposition == core::Disposition::dead ? ":" + o.cause : "");
    return records.size();
  }

  postgres::ConnectionOptions options_;
  postgres::LaneName name_;
  std::unique_ptr<detail::HandlerSpec> spec_;  // the preparer keeps a reference to it
  std::unique_ptr<detail::HandlerInstance> handler_;
  runtime::BatchSettings settings_;
  runtime::Preparer preparer_;
  runtime::Stores stores_{"deja", "test", "test", "test", std::chrono::minutes(1)};
  core::ParkedSet parked_;
  core::Random random_{1};
  std::unique_ptr<postgres::Connection> connection_;
  std::unique_ptr<postgres::PreparedStatements> prepared_;
  postgres::LaneState row_;
  std::int64_t next_offset_ = 0;

 public:
  int repeats = 0;  ///< deadlocks, and keys given up while they were looked up
};

}  // namespace deja::test
