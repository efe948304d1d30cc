#include <deja/testing.h>

#include <algorithm>
#include <stdexcept>

#include "core/batch_plan.h"
#include "postgres/migrations.h"
#include "runtime/batch.h"
#include "runtime/failures.h"
#include "testing/scratch_database.h"

namespace deja::testing {

namespace {
constexpr const char* schema = "deja";

core::SourceRecord to_record(const Input& input, std::int64_t offset) {
  const auto owned = std::make_shared<const Input>(input);
  core::SourceRecord record;
  record.view.topic = "test";
  record.view.offset = offset;
  record.view.timestamp_ms = 0;
  if (owned->key) record.view.key = *owned->key;
  if (owned->value) record.view.value = *owned->value;
  for (const auto& [name, value] : owned->headers) record.headers.push_back({name, value});
  record.view.headers = record.headers;
  record.owner = owned;
  return record;
}

std::optional<std::string> text_of(const Bytes& bytes) { return bytes.has_value() ? std::optional(std::string(bytes.view())) : std::nullopt; }
}  // namespace

class Harness::Impl {
 public:
  Impl(detail::HandlerSpec spec, std::string_view init_sql)
      : spec_(std::move(spec)), handler_(spec_.make()), connection_({.url = database_.url(), .what = "test kit", .read_only = true}),
        preparer_(spec_, {.scope = "test", .secret = {}, .tenant_header = {}}) {
    postgres::Connection owner({.url = database_.url(), .what = "test kit"});
    postgres::migrate(owner, schema, false);
    if (!init_sql.empty()) owner.exec(std::string(init_sql));
    const postgres::LaneName name{"test", "test", 0, 0};
    stores_.lanes.create(connection_, name, 0);
    row_ = stores_.lanes.take_over(connection_, name).value();
  }

  std::vector<Outcome> run(const std::vector<Input>& inputs) {
    last_.clear();
    for (const auto& input : inputs) last_.push_back(to_record(input, next_offset_++));
    std::vector<runtime::PreparedRecord> prepared;
    for (const auto& record : last_) prepared.push_back(preparer_.prepare(record));
    std::vector<Outcome> outcomes;
    core::BatchPlan plan;
    for (std::size_t done = 0; done < prepared.size();) {
      const auto shape = plan.next(prepared.size() - done, prepared[done].source->view.offset);
      done += try_once(std::span(prepared).subspan(done, shape.records), shape, plan, outcomes);
      plan.committed(done < prepared.size() ? std::optional(prepared[done].source->view.offset) : std::nullopt);
    }
    return outcomes;
  }

  std::vector<Outcome> redeliver() const {
    std::vector<Outcome> outcomes;
    for (const auto& record : last_)
      if (record.view.offset < row_.next_offset) outcomes.push_back({record.view.offset, "duplicate", "redelivery", ""});
    return outcomes;
  }

  std::vector<EmittedEvent> events() {
    std::vector<EmittedEvent> events;
    for (const auto& stored : stores_.outbox.read(connection_, row_.id, 0, row_.next_event_seq, 1'000'000)) {
      EmittedEvent e{core::to_text(stored.event.id), stored.event.topic, text_of(stored.event.key), text_of(stored.event.value), {}};
      for (const auto& h : stored.event.headers) e.headers.emplace_back(h.name, std::string(h.value.view()));
      events.push_back(std::move(e));
    }
    return events;
  }

  std::vector<Row> query(std::string_view sql) {
    std::vector<Row> rows;
    for (const auto& r : connection_.exec(std::string(sql))) {
      Row row;
      for (const auto& field : r) row.push_back(field.is_null() ? std::nullopt : std::optional<std::string>(field.c_str()));
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  // As a lane would: one transaction, and others of another shape when a record failed. Returns how many records were settled.
  std::size_t try_once(std::span<const runtime::PreparedRecord> records, const core::BatchShape& shape, core::BatchPlan& plan,
                       std::vector<Outcome>& outcomes) {
    runtime::Batch batch(settings_, stores_, connection_, prepared_, spec_, *handler_, row_, parked_, random_);
    runtime::BatchResult result;
    try {
      batch.run(records, 0, shape.savepoints ? runtime::Pass::savepoints : runtime::Pass::plain, result, shape.forced);
    } catch (const runtime::NeedsSavepoints&) {
      plan.needs_savepoints(records.back().source->view.offset);
      return again(records, plan, outcomes);
    } catch (const runtime::FailedAtCommit& e) {
      plan.failed_at_commit(records.size(), e.what());
      return again(records, plan, outcomes);
    } catch (const runtime::HandlerTooSlow& e) {
      plan.too_slow(e.first, e.count, e.what());
      return again(records, plan, outcomes);
    } catch (const runtime::DependencyAway& e) {
      throw std::runtime_error("the handler threw Unavailable(" + e.dependency + ") at record " + std::to_string(e.index) +
                               " of the run: in production its lane would pause here");
    }
    row_ = result.row;
    for (const auto& o : result.outcomes) outcomes.push_back({o.offset, std::string(core::word(o.disposition)), o.cause, o.error});
    return records.size();
  }

  std::size_t again(std::span<const runtime::PreparedRecord> records, core::BatchPlan& plan, std::vector<Outcome>& outcomes) {
    const auto shape = plan.next(records.size(), records.front().source->view.offset);
    return try_once(records.first(shape.records), shape, plan, outcomes);
  }

  const detail::HandlerSpec spec_;
  std::unique_ptr<detail::HandlerInstance> handler_;
  ScratchDatabase database_;
  postgres::Connection connection_;
  postgres::PreparedStatements prepared_;
  runtime::Preparer preparer_;
  const runtime::BatchSettings settings_{.scope = "test", .dlq_topic = {}, .quarantine_conflicts = true, .dlq_headers_allow = {"*"}, .dlq_headers_redact = {}, .group = "test", .max_event_bytes = 1'000'000};
  const runtime::Stores stores_{schema, "test", "test kit", "test", std::chrono::minutes(1)};
  const core::ParkedSet parked_;  // nothing is parked: an attempt is all there is
  core::Random random_{1};
  postgres::LaneState row_;
  std::vector<core::SourceRecord> last_;
  std::int64_t next_offset_ = 0;
};

Harness::Harness(detail::HandlerSpec spec, std::string_view init_sql) : impl_(std::make_unique<Impl>(std::move(spec), init_sql)) {}
Harness::~Harness() = default;
Harness::Harness(Harness&&) noexcept = default;
std::vector<Outcome> Harness::run(const std::vector<Input>& records) { return impl_->run(records); }
std::vector<Outcome> Harness::redeliver() { return impl_->redeliver(); }
std::vector<EmittedEvent> Harness::events() const { return impl_->events(); }
std::vector<Row> Harness::query(std::string_view sql) const { return impl_->query(sql); }

}  // namespace deja::testing
