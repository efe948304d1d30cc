#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "core/hash.h"
#include "core/outbound_event.h"
#include "core/uuid.h"

namespace deja::core {

/// What a lane's owner knows of the events that were set aside: which others have to follow them, so that none of their topic and key is
/// published first (O2).
///
/// Bounded: of a topic with more than `most_keys` keys set aside every event follows, whatever its key.
class EventsAside {
 public:
  explicit EventsAside(std::size_t most_keys = 100'000) : most_keys_(most_keys) {}

  /// Identifies topic and key; nothing: without a key, and so ordered with nothing.
  std::optional<Uuid> key_id(const OutboundEvent& event);

  bool empty() const { return topics_.empty(); }
  bool follows(const OutboundEvent& event);
  void add(const std::string& topic, const std::optional<Uuid>& key_id);
  /// Kafka refuses the topic: all its events follow, until it is released.
  void refuse(const std::string& topic);
  bool refused(const std::string& topic) const;

  void release_key(const std::string& topic, const Uuid& key_id);
  /// Its keys stay.
  void release_topic(const std::string& topic);

 private:
  struct Topic {
    bool whole = false;
    std::unordered_set<Uuid, UuidHash> keys;
  };
  void tidy(std::unordered_map<std::string, Topic>::iterator topic);

  std::size_t most_keys_;
  FramedHash hash_;
  std::unordered_map<std::string, Topic> topics_;
};

}  // namespace deja::core
