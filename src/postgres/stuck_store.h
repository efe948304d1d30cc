#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/uuid.h"
#include "postgres/connection.h"
#include "postgres/lane_store.h"
#include "postgres/outbox_store.h"

// Events that Kafka refuses, set aside so that others pass (O2).

namespace deja::postgres {

struct EventAside {
  std::int64_t seq = 0;
  std::string topic;
  std::optional<core::Uuid> key_id;  // see core/events_aside.h
  std::string error;                 // empty: it follows another one
};

/// What a lane has set aside.
struct StuckView {
  struct Key {
    std::string topic;
    std::optional<core::Uuid> id;
  };
  std::vector<std::int64_t> passed;  // numbers that published_seq has not reached
  std::vector<Key> keys;             // each once
  std::vector<std::string> waiting;  // topics with events that their owner tries again
  std::int64_t version = 0;          // of what operators changed, or an older one
};

/// What a change by a lane's owner came to; `mine` false: the row is not its own any more, and nothing was changed.
struct StuckSettled {
  bool mine = false;
  std::vector<core::Uuid> free_keys;  // of which nothing is set aside any more
  bool topic_free = false;            // nothing waits for the topic
  std::vector<core::Uuid> keys_left;  // of the topic, if so: what is left of it waits for an operator
  bool stuck = false;                 // the refused one waits for an operator
};

class StuckStore {
 public:
  explicit StuckStore(std::string schema);

  StuckView load(Connection& c, std::int32_t lane, std::int64_t published_seq) const;
  /// It is raised when an operator changes what is set aside.
  std::int64_t version(Connection& c, std::int32_t lane) const;
  /// Copies them from the outbox. Again is the same. Returns the topics of those that wait now, the others are behind a stuck one; nothing: see StuckSettled::mine.
  std::optional<std::set<std::string>> set_aside(Connection& c, const LaneState& row, const std::vector<EventAside>& events) const;
  /// Those of the topic that wait, in order: at most `limit` and 8 MiB, but always one.
  std::vector<StoredEvent> due(Connection& c, std::int32_t lane, const std::string& topic, std::int64_t limit) const;

  /// Keys of the topic that are set aside.
  std::vector<core::Uuid> keys(Connection& c, std::int32_t lane, const std::string& topic) const;

  struct Refused {
    std::int64_t seq = 0;
    bool own_fault = false;  // it went alone, and not its topic is refused: from now on an operator decides, of its key's others too
    std::string error;
  };
  /// What became of a try: `acknowledged` are Kafka's now. `version`: of the time when the events were read. An operator who acted since may
  /// have had them tried again, and they are not to be stuck by an answer from before. `tried`: the keys of all that were. Again is the same.
  StuckSettled settle(Connection& c, const LaneState& row, std::int64_t version, const std::string& topic, const std::vector<std::int64_t>& acknowledged,
                      const std::vector<core::Uuid>& tried, const std::optional<Refused>& refused) const;

  /// Those of these lanes that are not discarded, by the lanes' topics.
  std::map<std::string, std::int64_t> count(Connection& c, const std::vector<std::int32_t>& lanes) const;

 private:
  std::optional<std::int64_t> lock(Connection& c, const LaneState& row) const;
  std::string version_, passed_, keys_, keys_of_topic_, waiting_, lock_, copy_, spread_, copied_, due_, remove_, free_, refused_, topic_free_, count_;
};

}  // namespace deja::postgres
