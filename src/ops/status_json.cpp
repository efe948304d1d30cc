#include "ops/status_json.h"

#include <chrono>

#include <nlohmann/json.hpp>

#include "ops/log_line.h"

namespace deja::ops {
namespace {

using Json = nlohmann::ordered_json;

Json known(std::int64_t offset) { return offset < 0 ? Json(nullptr) : Json(offset); }
Json given(const std::string& cause) { return cause.empty() ? Json(nullptr) : Json(cause); }

Json lane_json(const core::LaneStatus& lane) {
  return {{"topic", lane.topic},
          {"partition", lane.partition},
          {"lane", lane.lane},
          {"state", lane.state},
          {"owner_epoch", lane.owner_epoch},
          {"next_offset", known(lane.next_offset)},
          {"log_end_offset", known(lane.log_end_offset)},
          {"queued_records", lane.queued_records},
          {"parked_records", lane.parked_records},
          {"waits_for_budget", lane.waits_for_budget},
          {"next_event_seq", lane.next_event_seq},
          {"published_seq", lane.published_seq},
          {"paused_cause", given(lane.paused_cause)},
          {"blocked_by", given(lane.blocked_by)},
          {"paused_seconds", lane.paused_seconds}};
}

Json dependency_json(const core::DependencyStatus& dependency) {
  return {{"name", dependency.name}, {"up", dependency.up}, {"cause", given(dependency.cause)}};
}

std::string instant(std::int64_t ms) { return rfc3339(std::chrono::system_clock::time_point(std::chrono::milliseconds(ms))); }

Json breaker_json(const core::BreakerStatus& breaker) {
  return {{"dependency", breaker.dependency}, {"handler", breaker.handler}, {"state", breaker.state}, {"since", instant(breaker.since_ms)}, {"cause", given(breaker.cause)}};
}

Json flood_json(const core::FloodStatus& flood) {
  return {{"handler", flood.handler}, {"state", flood.state}, {"since", instant(flood.since_ms)}, {"cause", given(flood.cause)}, {"fingerprint", given(flood.fingerprint)}};
}

Json budget_json(const core::BudgetStatus& budget) {
  return {{"handler", budget.handler}, {"tokens", budget.tokens}, {"amplification", budget.amplification}};
}

Json duplicate_json(const core::RecentDuplicate& duplicate) {
  return {{"topic", duplicate.topic},
          {"partition", duplicate.partition},
          {"offset", duplicate.offset},
          {"cause", duplicate.cause},
          {"first_topic", duplicate.first_topic},
          {"first_partition", duplicate.first_partition},
          {"first_offset", duplicate.first_offset},
          {"age_seconds", duplicate.age_seconds}};
}

template <class T>
Json list_json(const std::vector<T>& values, Json (*to_json)(const T&)) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(to_json(value));
  return list;
}

std::string text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n'; }

}  // namespace

std::string status_json(const core::Status& status) {
  Json json;
  json["group"] = status.group;
  json["instance"] = status.instance;
  json["state"] = status.state;
  json["live"] = status.live;
  json["not_ready"] = status.not_ready;
  json["lanes"] = list_json(status.lanes, lane_json);
  json["dependencies"] = list_json(status.dependencies, dependency_json);
  json["breakers"] = list_json(status.breakers, breaker_json);
  json["floods"] = list_json(status.floods, flood_json);
  json["budget"] = list_json(status.budgets, budget_json);
  json["last_duplicates"] = list_json(status.last_duplicates, duplicate_json);
  return text(json);
}

std::string readiness_json(const core::Status& status) {
  Json json;
  json["ready"] = status.not_ready.empty();
  json["causes"] = status.not_ready;
  return text(json);
}

std::string liveness_json(const core::Status& status) {
  Json json;
  json["live"] = status.live;
  return text(json);
}

}  // namespace deja::ops
