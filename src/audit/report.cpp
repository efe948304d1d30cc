#include "audit/report.h"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "core/base64.h"
#include "core/utf8.h"

namespace deja::audit {

namespace {
using Json = nlohmann::ordered_json;

Json text_or_bytes(const std::string& bytes) {
  if (core::is_utf8(bytes)) return bytes;
  return {{"base64", core::base64(bytes)}};
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

struct Count {
  const char* name;
  std::int64_t PartitionReport::*value;
};
constexpr Count counts[] = {
    {"checked", &PartitionReport::checked}, {"processed", &PartitionReport::processed}, {"duplicate", &PartitionReport::duplicate},
    {"conflict", &PartitionReport::conflict}, {"expired", &PartitionReport::expired}, {"parked", &PartitionReport::parked},
    {"dead", &PartitionReport::dead}, {"discarded", &PartitionReport::discarded}, {"skipped", &PartitionReport::skipped},
    {"events", &PartitionReport::events}, {"events_discarded", &PartitionReport::events_discarded}, {"events_removed", &PartitionReport::events_removed}, {"missing", &PartitionReport::missing},
    {"doubled", &PartitionReport::doubled}, {"misordered", &PartitionReport::misordered}, {"orphaned", &PartitionReport::orphaned},
    {"unchecked", &PartitionReport::unchecked}};

Json json_of(const Finding& f) {
  return {{"kind", f.kind}, {"what", f.what}, {"topic", f.topic}, {"partition", f.partition}, {"offset", or_null(f.offset)},
          {"key", f.key ? text_or_bytes(*f.key) : Json(nullptr)}, {"number", or_null(f.number)}, {"detail", f.detail}};
}

std::string printable(const std::string& bytes) {
  if (!core::is_utf8(bytes)) return "base64:" + core::base64(bytes);
  std::string out;
  for (const char c : bytes) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;  // a terminal would obey it
  return out.size() > 80 ? out.substr(0, 80) + "..." : out;
}

std::string place_of(const Finding& f) {
  return f.topic + "/" + std::to_string(f.partition) + (f.offset ? "/" + std::to_string(*f.offset) : "");
}

std::string line_of(const Finding& f) {
  std::string line = f.kind + " " + f.what + " " + place_of(f);
  if (f.number) line += ", number " + *f.number;
  if (f.key) line += ", key \"" + printable(*f.key) + "\"";
  return line + ": " + f.detail + "\n";
}

std::string aligned(const std::vector<std::vector<std::string>>& lines, std::size_t left_columns) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string blanks(widths[i] - line[i].size(), ' ');
      row += (i == 0 ? "" : "  ") + (i < left_columns ? line[i] + blanks : blanks + line[i]);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}
}  // namespace

void PartitionReport::count(core::Verdict verdict) {
  ++checked;
  switch (verdict) {
    case core::Verdict::processed: ++processed; break;
    case core::Verdict::duplicate: ++duplicate; break;
    case core::Verdict::conflict: ++conflict; break;
    case core::Verdict::expired: ++expired; break;
    case core::Verdict::parked: ++parked; break;
    case core::Verdict::dead: ++dead; break;
    case core::Verdict::discarded: ++discarded; break;
    case core::Verdict::skipped: ++skipped; break;
    case core::Verdict::missing: ++missing; break;
    case core::Verdict::doubled: ++doubled; break;
    case core::Verdict::unchecked: ++unchecked; break;
  }
}

void PartitionReport::keep(Finding finding, std::size_t named) {
  if (kept_[finding.kind]++ < named) findings.push_back(std::move(finding));
}

void PartitionReport::add(Finding finding, std::size_t named) {
  if (finding.kind == "missing") ++missing;
  else if (finding.kind == "doubled") ++doubled;
  else if (finding.kind == "misordered") ++misordered;
  else if (finding.kind == "orphaned") ++orphaned;
  else ++unchecked;
  keep(std::move(finding), named);
}

bool Report::clean() const {
  return std::all_of(partitions.begin(), partitions.end(), [](const auto& p) { return p.clean(); });
}

std::string json_lines(const Report& report) {
  std::string text;
  for (const auto& p : report.partitions) {
    Json line = {{"group", p.group}, {"topic", p.topic}, {"partition", or_null(p.partition)}};
    for (const auto& count : counts) line[count.name] = p.*count.value;
    line["findings"] = Json::array();
    for (const auto& finding : p.findings) line["findings"].push_back(json_of(finding));
    line["notes"] = p.notes;
    text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return text;
}

std::string table(const Report& report) {
  std::vector<std::vector<std::string>> lines = {{"group", "topic", "partition"}};
  for (const auto& count : counts) lines[0].emplace_back(count.name);
  std::string rest;
  for (const auto& p : report.partitions) {
    auto& line = lines.emplace_back();
    line = {p.group, p.topic, p.partition ? std::to_string(*p.partition) : "-"};
    for (const auto& count : counts) line.push_back(std::to_string(p.*count.value));
    for (const auto& finding : p.findings) rest += line_of(finding);
    for (const auto& note : p.notes) rest += "note: " + p.topic + (p.partition ? "/" + std::to_string(*p.partition) : "") + ": " + note + "\n";
  }
  return aligned(lines, 2) + (rest.empty() ? "" : "\n" + rest);
}

std::string summary(const Report& report) {
  std::int64_t missing = 0, doubled = 0, misordered = 0, unchecked = 0, orphaned = 0;
  for (const auto& p : report.partitions) {
    missing += p.missing;
    doubled += p.doubled;
    misordered += p.misordered;
    unchecked += p.unchecked;
    orphaned += p.orphaned;
  }
  char speed[160];
  std::snprintf(speed, sizeof speed, "%lld records and %lld events read in %.1f s (%.0f a second)", static_cast<long long>(report.records_read),
                static_cast<long long>(report.events_read), report.seconds,
                static_cast<double>(report.records_read + report.events_read) / std::max(report.seconds, 0.001));
  const auto named = [](std::int64_t n, const char* word) { return n == 0 ? std::string() : (" " + std::to_string(n) + " " + word + ","); };
  std::string found = named(missing, "missing") + named(doubled, "doubled") + named(misordered, "misordered") + named(unchecked, "unchecked") + named(orphaned, "orphaned");
  if (!found.empty()) found.pop_back();
  return std::string("audit: ") + (report.clean() ? "clean" : "not clean") + (found.empty() ? "" : ":" + found) + "; " + speed;
}

}  // namespace deja::audit
