#include "ops/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace deja::ops {
namespace {

constexpr core::MetricRow rows[] = {
    {"process_cpu_seconds_total", core::MetricKind::counter, "", "", "User and system CPU time of the process."},
    {"process_resident_memory_bytes", core::MetricKind::gauge, "", "", "Resident memory of the process."},
    {"process_virtual_memory_bytes", core::MetricKind::gauge, "", "", "Virtual memory of the process."},
    {"process_open_fds", core::MetricKind::gauge, "", "",
     "Open file descriptors. Near process_max_fds: raise the limit (ulimit -n)."},
    {"process_max_fds", core::MetricKind::gauge, "", "", "Limit of open file descriptors; absent when there is none."},
    {"process_start_time_seconds", core::MetricKind::gauge, "", "", "When the process started, as Unix time."},
    {"process_threads", core::MetricKind::gauge, "", "", "Threads of the process."},
};

struct Stat {
  double cpu_ticks = 0;
  double threads = 0;
  double start_ticks = 0;
  double virtual_bytes = 0;
  double resident_pages = 0;
};

// Field numbers are those of proc(5).
std::optional<Stat> read_stat() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The program's name may hold blanks and parentheses: what counts starts after the last one.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  fields.imbue(std::locale::classic());
  std::string state;
  fields >> state;
  Stat stat;
  for (int field = 4; field <= 24; ++field) {
    double value = 0;
    if (!(fields >> value)) return std::nullopt;
    switch (field) {
      case 14:
      case 15: stat.cpu_ticks += value; break;
      case 20: stat.threads = value; break;
      case 22: stat.start_ticks = value; break;
      case 23: stat.virtual_bytes = value; break;
      case 24: stat.resident_pages = value; break;
      default: break;
    }
  }
  return stat;
}

std::optional<double> boot_time_seconds() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return std::nullopt;
}

std::optional<double> open_descriptors() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end; entry.increment(error))
    ++count;
  // The listing itself holds one.
  return error || count == 0 ? std::nullopt : std::optional(count - 1);
}

std::optional<double> descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

std::optional<double> value_of(std::string_view name, const std::optional<Stat>& stat) {
  if (name == "process_open_fds") return open_descriptors();
  if (name == "process_max_fds") return descriptor_limit();
  if (!stat) return std::nullopt;
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (name == "process_cpu_seconds_total") return stat->cpu_ticks / ticks_per_second;
  if (name == "process_resident_memory_bytes") return stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (name == "process_virtual_memory_bytes") return stat->virtual_bytes;
  if (name == "process_threads") return stat->threads;
  if (name == "process_start_time_seconds") {
    const auto boot = boot_time_seconds();
    return boot ? std::optional(*boot + stat->start_ticks / ticks_per_second) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::span<const core::MetricRow> process_metric_table() { return rows; }

std::vector<prometheus::MetricFamily> process_metrics(const std::string& group) {
  const auto stat = read_stat();
  std::vector<prometheus::MetricFamily> families;
  for (const core::MetricRow& row : rows) {
    const auto value = value_of(row.name, stat);
    if (!value) continue;
    prometheus::MetricFamily family;
    family.name = row.name;
    family.help = row.help;
    prometheus::ClientMetric metric;
    metric.label.push_back({"group", group});
    if (row.kind == core::MetricKind::counter) {
      family.type = prometheus::MetricType::Counter;
      metric.counter.value = *value;
    } else {
      family.type = prometheus::MetricType::Gauge;
      metric.gauge.value = *value;
    }
    family.metric.push_back(std::move(metric));
    families.push_back(std::move(family));
  }
  return families;
}

}  // namespace deja::ops
