#include "cli/output.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include <nlohmann/json.hpp>

#include <deja/errors.h>

#include "core/base64.h"
#include "core/utf8.h"

namespace deja::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t table_limit = 100;

Json json_of_text(const std::string& text) {
  if (core::is_utf8(text)) return text;
  return {{"base64", core::base64(text)}};
}

Json to_json(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return json_of_text(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return *whole;
  if (const auto* number = std::get_if<double>(&cell)) return *number;
  if (const auto* flag = std::get_if<bool>(&cell)) return *flag;
  if (const auto* list = std::get_if<std::vector<std::string>>(&cell)) {
    auto array = Json::array();
    for (const auto& element : *list) array.push_back(json_of_text(element));
    return array;
  }
  return nullptr;
}

std::string on_one_line(std::string_view text) {
  if (!core::is_utf8(text)) return "base64:" + core::base64(text);
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += '?';  // a terminal would obey it
    } else {
      out += c;
    }
  }
  return out;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut(std::string text, std::size_t width) {
  if (width_of(text) <= width) return text;
  std::size_t characters = 0;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (!is_continuation(text[at]) && ++characters == width) break;
  }
  text.resize(at);
  return text + "…";
}

std::string short_number(double number) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", number);
  return text;
}

std::int64_t limit_of(const ListOptions& options) {
  if (options.count) return std::numeric_limits<std::int64_t>::max();  // a number of rows, not of rows shown
  return options.limit.value_or(options.format == Format::json ? std::numeric_limits<std::int64_t>::max() : table_limit);
}

std::string without_fraction(const std::string& time) {
  const auto dot = time.find('.');
  return dot == std::string::npos ? time : time.substr(0, dot) + "Z";
}

}  // namespace

Filter filter_of(const std::string& expression, std::span<const Field> fields) {
  if (expression.empty()) return {};
  try {
    return {expression, fields};
  } catch (const FilterError& error) {
    throw Stop(exit_code::usage, error.what());
  }
}

Output::Output(const ListOptions& options, std::span<const Field> fields)
    : options_(options), fields_(fields), filter_(filter_of(options.filter, fields)), limit_(limit_of(options)) {}

bool Output::row(Row row) {
  if (!filter_.fits(row)) return true;
  if (rows_ >= limit_) {
    cut_ = true;
    return false;
  }
  ++rows_;
  if (options_.count) return true;
  if (options_.format == Format::json) {
    print(json_line(row, fields_) + "\n");
  } else {
    kept_.push_back(std::move(row));
  }
  return true;
}

void Output::finish() {
  if (options_.count) {
    print(options_.format == Format::json ? Json{{"count", rows_}}.dump() + "\n" : std::to_string(rows_) + "\n");
  } else if (options_.format != Format::json) {
    print_table();
  }
  flush();
  if (cut_ && !options_.limit) std::cerr << "only the first " << limit_ << " rows are shown; --limit shows more\n";
}

void Output::print_table() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const auto& field : fields_) lines[0].emplace_back(field.name);
  for (const auto& row : kept_) {
    auto& line = lines.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) line.push_back(plain(row[i], fields_[i].type, options_.column_width));
  }
  std::vector<std::size_t> widths(fields_.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string blanks(widths[i] - width_of(line[i]), ' ');
      const bool right = fields_[i].type == FieldType::number;
      text += (i == 0 ? "" : "  ") + (right ? blanks + line[i] : line[i] + blanks);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    print(text + "\n");
  }
}

std::string json_line(const Row& row, std::span<const Field> fields) {
  Json json = Json::object();
  for (std::size_t i = 0; i < fields.size(); ++i) json[std::string(fields[i].name)] = to_json(row[i]);
  return json.dump();
}

std::string plain(const Cell& cell, FieldType type, std::size_t width) {
  if (is_null(cell)) return "-";
  if (const auto* text = std::get_if<std::string>(&cell)) return cut(type == FieldType::time ? without_fraction(*text) : on_one_line(*text), width);
  if (const auto* number = std::get_if<double>(&cell)) return short_number(*number);
  if (const auto* list = std::get_if<std::vector<std::string>>(&cell)) {
    std::string all;
    for (const auto& element : *list) all += (all.empty() ? "" : ", ") + on_one_line(element);
    return all.empty() ? "-" : cut(all, width);
  }
  return to_json(cell).dump();
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return;
  if (errno == EPIPE) throw ReaderGone();
  throw Stop(exit_code::unavailable, std::string("stdout cannot be written: ") + std::strerror(errno));
}

void flush() {
  if (std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw ReaderGone();
  throw Stop(exit_code::unavailable, std::string("stdout cannot be written: ") + std::strerror(errno));
}

}  // namespace deja::cli
