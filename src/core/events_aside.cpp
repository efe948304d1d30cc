#include "core/events_aside.h"

namespace deja::core {

std::optional<Uuid> EventsAside::key_id(const OutboundEvent& event) {
  if (!event.key.has_value()) return std::nullopt;
  return hash_.part(event.topic).part(event.key.view()).finish_uuid();
}

bool EventsAside::follows(const OutboundEvent& event) {
  if (topics_.empty()) return false;
  const auto found = topics_.find(event.topic);
  if (found == topics_.end()) return false;
  if (found->second.whole) return true;
  const auto id = key_id(event);
  return id && found->second.keys.contains(*id);
}

void EventsAside::add(const std::string& topic, const std::optional<Uuid>& key_id) {
  if (!key_id) return;
  auto& t = topics_[topic];
  if (t.keys.size() <= most_keys_) t.keys.insert(*key_id);
  if (t.keys.size() > most_keys_) t.whole = true;
}

void EventsAside::refuse(const std::string& topic) { topics_[topic].whole = true; }

bool EventsAside::refused(const std::string& topic) const {
  const auto found = topics_.find(topic);
  return found != topics_.end() && found->second.whole;
}

void EventsAside::release_key(const std::string& topic, const Uuid& key_id) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  found->second.keys.erase(key_id);
  tidy(found);
}

void EventsAside::release_topic(const std::string& topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  found->second.whole = found->second.keys.size() > most_keys_;
  tidy(found);
}

void EventsAside::tidy(std::unordered_map<std::string, Topic>::iterator topic) {
  if (!topic->second.whole && topic->second.keys.empty()) topics_.erase(topic);
}

}  // namespace deja::core
