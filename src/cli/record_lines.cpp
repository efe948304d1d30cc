#include "cli/record_lines.h"

#include <iostream>

#include <deja/errors.h>

namespace deja::cli {
namespace {
constexpr std::size_t max_line_bytes = 256 * 1024 * 1024;
}

RecordLines::RecordLines(const std::string& file) : name_(file == "-" ? "stdin" : file) {
  if (file == "-") {
    in_ = &std::cin;
    return;
  }
  opened_.open(file, std::ios::binary);
  if (!opened_) throw Stop(exit_code::wrong_data, file + " cannot be read");
  in_ = &opened_;
}

bool RecordLines::next(std::string& line) {
  while (read(line)) {
    ++number_;
    if (line.find_first_not_of(" \t\r") != std::string::npos) return true;
  }
  return false;
}

bool RecordLines::read(std::string& line) {
  line.clear();
  auto* buffer = in_->rdbuf();
  for (int c = buffer->sbumpc(); c != std::char_traits<char>::eof(); c = buffer->sbumpc()) {
    if (c == '\n') return true;
    if (line.size() == max_line_bytes) throw Stop(exit_code::wrong_data, name_ + ", line " + std::to_string(number_ + 1) + ": is too long for a record");
    line += static_cast<char>(c);
  }
  return !line.empty();
}

}  // namespace deja::cli
