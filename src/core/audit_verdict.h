#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deja::core {

/// What the audit says of one record. Every record has exactly one; `skipped` are those an operator moved the group past.
enum class Verdict { processed, duplicate, conflict, expired, parked, dead, discarded, missing, doubled, unchecked, skipped };

/// What the database holds about one record, all of it from one snapshot.
struct RecordFacts {
  enum class Key {
    free,        // the strategy is by_offset: progress alone proves the effect
    known,       // computed; `holder` says who has it
    unreadable,  // the record has none, or its key function threw: only a dead letter will do
    unknown,     // only the program can compute it
  };
  Key key = Key::known;

  /// The key's row.
  struct Holder {
    bool here = false;           // it names this very record
    bool same_digest = false;    // of the payload
    bool later_in_lane = false;  // it names a record of the same lane that comes after this one
  };
  std::optional<Holder> holder = {};
  /// While a recipe of keys changes a record has two keys, and either will do: keeps what proves more.
  void add(const Holder& other);
  bool another_key = false;  // it may have a further key, which is not known here

  struct Letter {
    std::string status, cause;
    /// Of one that was edited and replayed: the effect under the key that the edit gave it is this record's, or another one's.
    enum class Effect { none, here, elsewhere } effect = Effect::none;
  };
  std::optional<Letter> letter = {};

  bool parked = false;  // it has a row among the parked records
  bool twin = false;    // an earlier record with its key and payload is parked or a dead letter: it was a duplicate of that one (B4)

  bool reported_conflicts = false;  // dedup.conflict = report: a conflict leaves no row
  bool skipped = false;             // an operator moved the group past it
};

struct Judgement {
  Verdict verdict = Verdict::missing;
  bool misordered = false;    // a later record of its lane took effect first
  std::string_view why = {};  // for findings
};

Judgement judge(const RecordFacts& facts);

}  // namespace deja::core
