#include "core/dead_letter_notice.h"

#include <nlohmann/json.hpp>

namespace deja::core {

OutboundEvent notice_event(const DeadLetterNotice& notice, std::string_view group, std::optional<std::string_view> record_key, const std::string& source, FramedHash& hash) {
  OutboundEvent event;
  event.id = hash.part("dlq status").part(group).part(notice.dead_letter).part(notice.action).part(notice.status).finish_uuid();
  event.topic = notice.topic;
  if (record_key && record_key->size() <= longest_notice_key) event.key = *record_key;
  nlohmann::ordered_json body = {{"dlq_id", notice.dead_letter}, {"status", notice.status}, {"action_id", notice.action}};
  if (!notice.outcome.empty()) body["outcome"] = notice.outcome;
  event.value = body.dump();
  const auto add = [&](const char* name, std::string value) { event.headers.push_back({name, std::move(value)}); };
  add("deja-dlq-status", std::string(notice.status));
  add("deja-dlq-id", std::to_string(notice.dead_letter));
  add("deja-dlq-replays", std::to_string(notice.replays));
  add("deja-event-id", to_text(event.id));
  add("deja-source", source);
  return event;
}

}  // namespace deja::core
