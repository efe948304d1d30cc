#pragma once

#include <cstdint>
#include <fstream>
#include <istream>
#include <string>

namespace deja::cli {

/// The lines of a file of records; - is stdin. A line that is too long for any record ends it: Stop (65), as does a file that cannot be read.
class RecordLines {
 public:
  explicit RecordLines(const std::string& file);

  /// The next line that is not blank.
  bool next(std::string& line);
  /// "records.jsonl, line 3"
  std::string place() const { return name_ + ", line " + std::to_string(number_); }

 private:
  bool read(std::string& line);

  std::string name_;
  std::ifstream opened_;
  std::istream* in_ = nullptr;
  std::int64_t number_ = 0;
};

}  // namespace deja::cli
