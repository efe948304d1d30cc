#include "runtime/dead_letter_event.h"

#include <algorithm>

#include "core/dead_letter_notice.h"
#include "core/fingerprint.h"
#include "core/glob.h"
#include "core/keys.h"
#include "core/utf8.h"
#include "runtime/handler_event.h"

namespace deja::runtime {

namespace {
// A broker takes 1 MiB by default (message.max.bytes); this leaves room for key, headers and framing.
constexpr std::size_t max_body = 768 * 1024;
constexpr std::size_t max_headers = 32 * 1024;
constexpr std::size_t max_message = 1024;
constexpr std::size_t max_error = 8192;

// Text that every column and header takes: no NUL, well-formed UTF-8, bounded.
std::string clean_text(std::string_view text, std::size_t max) {
  std::string out(text.substr(0, max));
  while (!out.empty() && text.size() > max && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
  if (text.size() > max && !out.empty() && (static_cast<unsigned char>(out.back()) & 0x80)) out.pop_back();
  if (core::is_text(out)) return out;
  for (auto& c : out)
    if (c == '\0' || (static_cast<unsigned char>(c) & 0x80)) c = '?';
  return out;
}

}  // namespace

postgres::NewDeadLetter dead_letter_of(const PreparedRecord& record, const std::string& handler, std::string_view cause, std::string_view stage,
                                    std::string error, const std::string& type) {
  postgres::NewDeadLetter letter;
  letter.record = record.source;
  letter.handler = handler;
  letter.key = record.key;
  letter.previous_key = record.previous_key;
  if (record.key) letter.idempotency_key = record.raw_key;
  if (record.key || record.previous_key) letter.digest = record.digest;
  letter.ordering = record.ordering;
  letter.cause = cause;
  letter.stage = stage;
  letter.error = clean_text(error, max_error);
  letter.fingerprint = core::failure_fingerprint(type, stage, letter.error);
  letter.attempts = record.source->view.attempt;
  if (const auto* parked = record.parked) {
    letter.incarnation = parked->incarnation;
    letter.first_seen = parked->first_seen;
    letter.first_failed_at = parked->first_failed_at;
    letter.failures = parked->failures;
  }
  return letter;
}

core::OutboundEvent dead_letter_event(const postgres::NewDeadLetter& letter, const postgres::DeadLetterId& id, const BatchSettings& settings,
                                      core::FramedHash& hash) {
  const auto& view = letter.record->view;
  core::OutboundEvent event;
  event.id = core::dead_letter_event_id(hash, settings.scope, view.topic, view.partition, view.offset, id.replays);
  event.topic = settings.dlq_topic;
  if (view.key && view.key->size() <= core::longest_notice_key) event.key = *view.key;
  const bool by_reference = view.value && view.value->size() > max_body;
  if (view.value && !by_reference) event.value = *view.value;

  std::size_t room = max_headers;
  for (const auto& h : view.headers) {
    const auto size = h.name.size() + h.value.value_or("").size() + 8;
    // reserved names that came from outside are not trusted
    if (h.name.starts_with("deja-") || h.name.starts_with("__dlq.") || size > room || !core::matches_any(settings.dlq_headers_allow, h.name)) continue;
    room -= size;
    event.headers.push_back({std::string(h.name), core::matches_any(settings.dlq_headers_redact, h.name) ? Bytes("(redacted)") : Bytes(h.value)});
  }
  const auto add = [&](const char* name, std::string value) { event.headers.push_back({name, std::move(value)}); };
  add("__dlq.errors.topic", std::string(view.topic));
  add("__dlq.errors.partition", std::to_string(view.partition));
  add("__dlq.errors.offset", std::to_string(view.offset));
  add("__dlq.errors.group", settings.group);
  add("__dlq.errors.delivery.count", std::to_string(letter.attempts));
  add("__dlq.errors.message", clean_text(letter.error, max_message));
  add("deja-dlq-id", std::to_string(id.id));
  add("deja-dlq-cause", letter.cause);
  add("deja-dlq-stage", letter.stage);
  add("deja-dlq-handler", letter.handler);
  add("deja-dlq-first-failed-at", id.first_failed_at);
  add("deja-dlq-replays", std::to_string(id.replays));
  add("deja-event-id", core::to_text(event.id));
  add("deja-source", source_text(view));
  if (by_reference) add("deja-dlq-body", "reference");
  return event;
}

}  // namespace deja::runtime
