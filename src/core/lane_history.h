#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deja::core {

/// What an operator did to a lane (`lanes reset`, `lanes accept-loss`), as the audit log has it.
struct LaneMove {
  std::int64_t from = 0, to = 0;

  /// The operator accepted that the log is another one than before.
  struct NewLog {
    std::int64_t start = 0;            ///< its first offset then
    std::string at = {};               ///< when, in a form that Postgres reads
    std::int64_t next_event_seq = 1;   ///< of the lane then: lower numbers are events of the log before
  };
  std::optional<NewLog> new_log = {};
};

/// What a lane's moves, oldest first, mean for the records of the log as it is now.
class LaneHistory {
 public:
  explicit LaneHistory(std::int64_t start_offset = 0) : start_(start_offset) {}

  void add(const LaneMove& move);

  /// The lowest offset that was ever the lane's to read, in this log.
  std::int64_t start() const { return start_; }
  /// The lane was moved past the record, and has not been moved back before it since.
  bool skips(std::int64_t offset) const;
  /// When the log was accepted as another one. Key rows of before are of the log before, whatever offset they name. "-infinity": it never was.
  const std::string& log_since() const { return log_since_; }
  bool is_of_log_before(std::int64_t event_seq) const { return event_seq < first_event_seq_; }

 private:
  struct Range {
    std::int64_t from, until;
  };
  void skip(std::int64_t from, std::int64_t until);
  void read_again_from(std::int64_t offset);

  std::int64_t start_;
  std::vector<Range> skipped_;
  std::string log_since_ = "-infinity";
  std::int64_t first_event_seq_ = 1;
};

}  // namespace deja::core
