#include "audit/record_audit.h"

#include <algorithm>
#include <tuple>

#include "audit/worker_pool.h"
#include "core/lane_map.h"
#include "postgres/explain.h"

namespace deja::audit {

using core::RecordFacts;
using core::Verdict;

namespace {
// A chunk is as large as it pays: the statement for it takes some tens of milliseconds, its records some megabytes.
constexpr std::size_t chunk_records = 8192, chunk_bytes = 8U << 20;
// More rows than these that name the wrong record are counted, not looked into.
constexpr std::size_t max_strays = 100'000;
// All rows of keys are read at once for as many offsets (8 bytes each); beyond that, each key is looked up.
constexpr std::int64_t max_marks = 32'000'000;

using Chunk = std::vector<core::SourceRecord>;

std::string position(std::string_view topic, std::int32_t partition, std::int64_t offset) {
  return std::string(topic) + "/" + std::to_string(partition) + "/" + std::to_string(offset);
}

Finding finding_of(std::string kind, const core::SourceRecord& record, std::string detail) {
  const auto& v = record.view;
  return {std::move(kind), "record", std::string(v.topic), v.partition, v.offset, v.key ? std::optional<std::string>(*v.key) : std::nullopt, std::nullopt, std::move(detail)};
}
}  // namespace

const postgres::AuditLane& PartitionAudit::lane_of(const core::SourceRecord& record, const KeySource& keys) const {
  const auto count = lanes.front().lane_count;
  if (count == 1) return lanes.front();
  const auto key = core::ordering_key(keys.ordering, record);
  return lanes.at(static_cast<std::size_t>(core::lane_of(key ? std::optional<std::string_view>(*key) : std::nullopt, record.view.offset, count)));
}

std::optional<bool> PartitionAudit::may_emit(std::int64_t offset) const {
  if (!seen.has(offset)) return std::nullopt;
  return matched.has(offset) || open.has(offset);
}

/// Judges chunks on one thread, over a connection of its own.
class RecordAudit::Judge {
 public:
  explicit Judge(RecordAudit& audit)
      : audit_(audit), connection_(postgres::open_or_stop({.url = audit.settings_.postgres_url, .what = "audit", .read_only = true})),
        store_(*connection_, audit.settings_.schema), keys_(audit.keys_) {
    store_.prepare_for_probes();
  }

  void judge(const Chunk& chunk) {
    entries_.clear();
    probed_.clear();
    postgres::AuditProbe probe;
    std::map<std::int32_t, postgres::AuditProbe::Span> spans;
    for (const auto& record : chunk) {
      auto& partition = *audit_.partitions_.at(record.view.partition);
      const auto& lane = partition.lane_of(record, audit_.keys_.now);
      if (record.view.offset >= lane.next_offset) continue;  // its lane has yet to come there
      Entry entry{&record, &partition, &lane, keys_.read(record), {}, 0};
      entry.facts.key = entry.read.state;
      entry.facts.another_key = !audit_.keys_.all_keys();
      entry.facts.reported_conflicts = audit_.settings_.reported_conflicts;
      entry.facts.skipped = lane.history.skips(record.view.offset);
      look_at_marks(entry);
      auto [span, is_new] = spans.try_emplace(record.view.partition, postgres::AuditProbe::Span{record.view.partition, record.view.offset, record.view.offset});
      if (!is_new) span->second.last = record.view.offset;
      const bool proved = entry.rows > 0;
      entries_.push_back(std::move(entry));
      for (std::size_t i = 0; !proved && i < entries_.back().read.count; ++i) add_to(probe, entries_.size() - 1, i);
    }
    for (const auto& [number, span] : spans) probe.spans.push_back(span);
    if (!entries_.empty()) take(store_.probe(audit_.group_, audit_.topic_, audit_.incarnations_, probe));
    look_for_twins();
    for (auto& entry : entries_) settle(entry);
  }

 private:
  struct Entry {
    const core::SourceRecord* record;
    PartitionAudit* partition;
    const postgres::AuditLane* lane;
    KeyReader::Read read;
    RecordFacts facts;
    std::size_t rows;  // of its keys, that name it
  };
  static constexpr RecordFacts::Holder here{true, true, false};

  static void look_at_marks(Entry& entry) {
    std::array<std::uint64_t, 2> marks{};
    for (std::size_t i = 0; i < entry.read.count; ++i) marks[i] = core::KeyMarks::mark(entry.read.keys[i], entry.read.digest);
    entry.rows = entry.partition->marks.rows(entry.record->view.offset, marks.data(), entry.read.count);
    if (entry.rows > 0) entry.facts.holder = here;
  }

  bool lacks_proof(const Entry& entry) const {
    return entry.read.count > 0 && !entry.facts.letter && core::judge(entry.facts).verdict == Verdict::missing;
  }

  // B4: the twin of a record that is parked was a duplicate at once, without a row of its own.
  void look_for_twins() {
    std::vector<postgres::UnprovedKey> keys;
    std::vector<Entry*> of;
    for (auto& entry : entries_) {
      if (!lacks_proof(entry)) continue;
      const auto& view = entry.record->view;
      for (std::size_t i = 0; i < entry.read.count; ++i) {
        keys.push_back({entry.read.keys[i], entry.read.digest, view.partition, view.offset, entry.lane->incarnation, view.offset < entry.lane->reread_until});
        of.push_back(&entry);
      }
    }
    if (keys.empty()) return;
    for (const auto& twin : store_.twins(audit_.group_, audit_.topic_, keys)) {
      if (twin.same_digest) of[twin.of]->facts.twin = true;
      else of[twin.of]->facts.add(RecordFacts::Holder{});
    }
    // one that took effect between the two looks has left the parked records, and has its key
    postgres::AuditProbe again;
    probed_.clear();
    for (std::size_t n = 0; n < entries_.size(); ++n) {
      if (!lacks_proof(entries_[n])) continue;
      for (std::size_t i = 0; i < entries_[n].read.count; ++i) add_to(again, n, i);
    }
    if (!again.records.empty()) take(store_.probe(audit_.group_, audit_.topic_, audit_.incarnations_, again));
  }

  void add_to(postgres::AuditProbe& probe, std::size_t entry, std::size_t key) {
    const auto& e = entries_[entry];
    probed_.push_back(entry);
    probe.records.push_back({e.read.keys[key], e.read.digest, e.lane->id, e.record->view.offset, e.partition->log_since()});
  }

  void take(const postgres::AuditProbeResult& result) {
    std::vector<bool> elsewhere(probed_.size());
    for (const auto& other : result.others) {
      elsewhere[other.record] = true;
      auto& entry = entries_[probed_[other.record]];
      if (!other.found) continue;
      RecordFacts::Holder holder;
      const auto at = audit_.partition_of_lane_.find(other.lane);
      const auto offset = entry.record->view.offset;
      const bool same_partition = at != audit_.partition_of_lane_.end() && at->second == entry.record->view.partition;
      const bool same_log = !(same_partition && other.older);
      holder.here = same_log && same_partition && other.offset == offset;
      holder.same_digest = other.digest == entry.read.digest;
      holder.later_in_lane = same_log && other.lane == entry.lane->id && other.offset > offset && offset >= entry.lane->reread_until;
      if (holder.here && !holder.same_digest) audit_.other_digests_ = true;
      entry.rows += holder.here ? 1 : 0;
      entry.facts.add(holder);
    }
    for (std::size_t i = 0; i < probed_.size(); ++i) {
      if (elsewhere[i]) continue;
      auto& entry = entries_[probed_[i]];
      ++entry.rows;
      entry.facts.add(here);
    }
    for_each_own(result.letters, [](Entry& entry, const auto& letter) {
      using Effect = RecordFacts::Letter::Effect;
      entry.facts.letter = RecordFacts::Letter{letter.status, letter.cause, letter.effect == 2 ? Effect::here : letter.effect == 1 ? Effect::elsewhere : Effect::none};
      if (letter.effect == 2 && entry.facts.key == RecordFacts::Key::unreadable) ++entry.rows;
    });
    for_each_own(result.parked, [](Entry& entry, const auto& parked) {
      // that of an earlier log does not keep the record from being handled in this one
      entry.facts.parked = entry.facts.parked || parked.incarnation == entry.lane->incarnation || entry.rows == 0;
    });
  }

  // A row of an earlier log is another record's, unless the record is still the same one.
  template <class OwnRows, class Visit>
  void for_each_own(const OwnRows& rows, Visit&& visit) {
    if (rows.empty()) return;
    std::multimap<std::pair<std::int32_t, std::int64_t>, const typename OwnRows::value_type*> by_place;
    for (const auto& row : rows) by_place.emplace(std::pair(row.partition, row.offset), &row);
    for (auto& entry : entries_) {
      const auto& view = entry.record->view;
      const auto [first, end] = by_place.equal_range({view.partition, view.offset});
      for (auto at = first; at != end; ++at)
        if (at->second->incarnation == entry.lane->incarnation || at->second->record_timestamp == view.timestamp_ms) visit(entry, *at->second);
    }
  }

  void settle(const Entry& entry) {
    const auto judgement = core::judge(entry.facts);
    const auto& record = *entry.record;
    const auto offset = record.view.offset;
    auto& p = *entry.partition;
    const std::lock_guard lock(p.mutex);
    p.report.count(judgement.verdict);
    p.seen.add(offset);
    p.key_rows += static_cast<std::int64_t>(entry.rows);
    if (entry.rows > 1) p.by_both.add(offset);
    if (entry.rows > 0 || entry.facts.key == RecordFacts::Key::free) p.matched.add(offset);
    if (entry.facts.letter || entry.facts.parked || judgement.verdict == Verdict::unchecked || judgement.verdict == Verdict::skipped) p.open.add(offset);
    const auto named = audit_.settings_.named;
    if (judgement.verdict == Verdict::missing) {
      if (entry.facts.holder) ++p.unkept_conflicts;
      p.report.keep(finding_of("missing", record, std::string(judgement.why)), named);
    }
    if (judgement.verdict == Verdict::doubled) p.report.keep(finding_of("doubled", record, std::string(judgement.why)), named);
    if (judgement.verdict == Verdict::unchecked) p.report.keep(finding_of("unchecked", record, audit_.keys_.remedy()), 1);
    if (judgement.misordered) p.report.add(finding_of("misordered", record, std::string(judgement.why)), named);
  }

  RecordAudit& audit_;
  std::unique_ptr<postgres::Connection> connection_;
  postgres::AuditStore store_;
  KeyReader keys_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> probed_;  // index into entries_ of each record of the probe
};

RecordAudit::RecordAudit(const RecordAuditSettings& settings, std::string group, std::string topic, KeySources keys, postgres::AuditStore& store)
    : settings_(settings), group_(std::move(group)), topic_(std::move(topic)), keys_(std::move(keys)), store_(store),
      incarnations_(store.incarnations(group_, topic_)) {}

void RecordAudit::add(std::int32_t number, std::int64_t from, std::int64_t until, std::vector<postgres::AuditLane> lanes) {
  auto& p = partitions_[number];
  p = std::make_unique<PartitionAudit>();
  p->from = from;
  p->until = std::max(from, until);
  p->seen = p->matched = p->by_both = p->open = core::OffsetSet(p->from, p->until);
  p->report.group = group_;
  p->report.topic = topic_;
  p->report.partition = number;
  for (const auto& lane : lanes) partition_of_lane_[lane.id] = number;
  p->lanes = std::move(lanes);
}

std::vector<kafka::LogSlice> RecordAudit::slices() const {
  std::vector<kafka::LogSlice> slices;
  for (const auto& [number, p] : partitions_) slices.push_back({{topic_, number}, p->from, p->until});
  return slices;
}

std::int64_t RecordAudit::run(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress) {
  std::int64_t records = 0;
  read_marks();
  {
    auto reading = reader.open(slices());  // goes last: chunks hold its records
    WorkerPool<Chunk> pool(settings_.connections, [this]() -> WorkerPool<Chunk>::Work {
      return [judge = std::make_shared<Judge>(*this)](Chunk& chunk) { judge->judge(chunk); };
    });
    Chunk chunk;
    std::size_t bytes = 0;
    reading.run([&](core::SourceRecord record) {
      ++records;
      bytes += record.size;
      chunk.push_back(std::move(record));
      if (chunk.size() < chunk_records && bytes < chunk_bytes) return;
      pool.put(std::exchange(chunk, {}));
      chunk.reserve(chunk_records);
      bytes = 0;
    }, progress, kafka::LogReader::patience);
    if (!chunk.empty()) pool.put(std::move(chunk));
    pool.finish();
  }
  check_key_rows(reader, progress);
  fold_conflicts();
  return records;
}

std::vector<postgres::KeyRowRange> RecordAudit::ranges() const {
  std::vector<postgres::KeyRowRange> ranges;
  for (const auto& [number, p] : partitions_)
    for (const auto& lane : p->lanes) ranges.push_back({lane.id, p->from, std::min(p->until, lane.next_offset), p->log_since()});
  return ranges;
}

// The rows of all records below progress are there already; a later one is of a record that had a dead letter.
void RecordAudit::read_marks() {
  std::int64_t offsets = 0;
  for (const auto& [number, p] : partitions_) offsets += p->until - p->from;
  if (!keys_.any_key() || offsets > max_marks) return;
  for (const auto& [number, p] : partitions_) p->marks = core::KeyMarks(p->from, p->until);
  rows_ = 0;
  store_.key_rows(ranges(), [&](const postgres::KeyRow& row) {
    ++*rows_;
    partitions_.at(partition_of_lane_.at(row.lane))->marks.add(row.offset, core::KeyMarks::mark(row.key, row.digest));
  }, [] {});
}

// Every key row that names one of these records was met when the record was judged. One that is left names a record with another key:
// an effect is booked in the wrong place, and what was called a duplicate of it may have no effect at all.
void RecordAudit::check_key_rows(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress) {
  if (!keys_.any_key()) return;
  std::int64_t named = 0;
  for (const auto& [number, p] : partitions_) {
    named += p->key_rows;
    p->marks = {};
  }
  const auto ranges = this->ranges();
  if (!rows_) rows_ = store_.count_key_rows(ranges);
  if (*rows_ == named) return;
  const auto empty_sets = [&] {
    std::map<std::int32_t, core::OffsetSet> sets;
    for (const auto& [number, p] : partitions_) sets.emplace(number, core::OffsetSet(p->from, p->until));
    return sets;
  };
  auto once = empty_sets(), twice = empty_sets(), too_often = empty_sets();
  bool any_too_often = false;
  const auto each = [&](const postgres::KeyRow& row) {
    const auto number = partition_of_lane_.at(row.lane);
    const auto& p = *partitions_.at(number);
    if (!p.seen.has(row.offset)) return;               // retention or compaction took the record
    if (p.open.has(row.offset) && (row.recent || !keys_.all_keys())) return;  // retried or replayed since, or of a key that is not known here
    if (!p.matched.has(row.offset)) {
      if (strays_.size() < max_strays) strays_.emplace(row.key, row);
    } else if (!once.at(number).has(row.offset)) {
      once.at(number).add(row.offset);
    } else if (p.by_both.has(row.offset) && !twice.at(number).has(row.offset)) {
      twice.at(number).add(row.offset);
    } else {
      too_often.at(number).add(row.offset);
      any_too_often = true;
    }
  };
  store_.key_rows(ranges, each, [&] { once = empty_sets(), twice = empty_sets(); });
  // Of the rows in one place, the log will tell which ones are right.
  if (any_too_often)
    store_.key_rows(ranges, [&](const postgres::KeyRow& row) {
      if (!too_often.at(partition_of_lane_.at(row.lane)).has(row.offset) || strays_.size() >= max_strays) return;
      strays_.emplace(row.key, row);
      beside_.insert(row.key);
    }, [] {});
  if (!strays_.empty()) name_strays(reader, progress);
}

// Reads the log once more for the records that have these keys. Partitions come in any order: only at the end is it known whose row is right.
void RecordAudit::name_strays(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress) {
  KeyReader keys(keys_);
  std::unordered_map<core::Uuid, Finding, core::UuidHash> lost;
  reader.read(slices(), [&](const core::SourceRecord& record) {
    const auto number = record.view.partition;
    const auto& p = *partitions_.at(number);
    if (!p.seen.has(record.view.offset)) return;
    const auto read = keys.read(record);
    for (std::size_t i = 0; i < read.count; ++i) {
      const auto found = strays_.find(read.keys[i]);
      if (found == strays_.end()) continue;
      const auto& row = found->second;
      const auto named = partition_of_lane_.at(row.lane);
      if (number == named && record.view.offset == row.offset) {
        lost.erase(found->first);
        strays_.erase(found);
      } else if (!p.matched.has(record.view.offset) && !p.open.has(record.view.offset) && row.digest == read.digest) {
        lost.try_emplace(found->first, finding_of("missing", record, "the row of its key names " + position(topic_, named, row.offset) + ", which has another key"));
      }
    }
  }, progress);
  std::vector<Finding> in_order;
  for (auto& [key, finding] : lost) {
    strays_.erase(key);
    in_order.push_back(std::move(finding));
  }
  std::sort(in_order.begin(), in_order.end(), [](const Finding& a, const Finding& b) { return std::tie(a.partition, a.offset) < std::tie(b.partition, b.offset); });
  for (auto& finding : in_order) {
    auto& report = partitions_.at(finding.partition)->report;
    --report.duplicate;  // what it was taken for
    report.add(std::move(finding), settings_.named);
  }
  for (const auto& [key, row] : strays_) {
    if (beside_.contains(key)) continue;  // made by a recipe before, or its record is gone
    if (!keys_.all_keys()) continue;      // its record is unchecked
    const auto number = partition_of_lane_.at(row.lane);
    partitions_.at(number)->report.add({"orphaned", "effect", topic_, number, row.offset, std::nullopt, std::nullopt,
                                        "the key " + core::to_text(key) + " is stored for this record, which has another one"}, settings_.named);
  }
}

// Where effects are stored with another digest than that of the value, the handler has a fingerprint function: conflicts and
// duplicates can be told apart by the program alone.
void RecordAudit::fold_conflicts() {
  if (!other_digests_) return;
  for (const auto& [number, p] : partitions_) {
    if (keys_.now.program) {
      p->report.notes.emplace_back("effects are stored with another fingerprint than these records have: the fingerprint function was changed, or the log is another one");
      continue;
    }
    if (p->unkept_conflicts == 0) continue;
    p->report.missing -= p->unkept_conflicts;
    p->report.unchecked += p->unkept_conflicts;
    p->report.findings.push_back({"unchecked", "record", topic_, number, std::nullopt, std::nullopt, std::nullopt,
                                  "the handler has a fingerprint function, so only the program can tell a duplicate from a conflict: run PROGRAM --audit"});
    std::erase_if(p->report.findings, [](const auto& f) { return f.kind == "missing" && f.detail.starts_with("its key belongs"); });
  }
}

}  // namespace deja::audit
