#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cell.h"
#include "cli/filter.h"

namespace deja::cli {

enum class Format { table, json, markdown };

/// What the common options of a list say.
struct ListOptions {
  Format format = Format::table;
  std::optional<std::int64_t> limit = {};
  bool count = false;
  std::string filter = {};
  std::size_t column_width = 60;  ///< of a table; longer values are cut
};

/// Throws Stop (64) for a filter that is wrong. `fields` must outlive what it returns.
Filter filter_of(const std::string& expression, std::span<const Field> fields);

/// Rows of a command: one JSON object a line as they come, or one aligned table at the end. Nothing else goes to stdout.
class Output {
 public:
  /// Throws Stop (64) for a filter that is wrong. `fields` must outlive this object.
  Output(const ListOptions& options, std::span<const Field> fields);

  /// False: no further row is wanted.
  bool row(Row row);
  void finish();

 private:
  void print_table() const;

  ListOptions options_;
  std::span<const Field> fields_;
  Filter filter_;
  std::int64_t limit_;
  std::int64_t rows_ = 0;
  bool cut_ = false;
  std::vector<Row> kept_;
};

/// The row as a JSON object, fields in their order.
std::string json_line(const Row& row, std::span<const Field> fields);
/// A cell for people: on one line, "-" for null, without control characters, not longer than `width` characters.
std::string plain(const Cell& cell, FieldType type, std::size_t width = std::numeric_limits<std::size_t>::max());

/// Thrown when whoever reads stdout has gone: the command ends quietly.
struct ReaderGone {};

/// Writes text to stdout. Throws ReaderGone, or Stop when it cannot be written.
void print(std::string_view text);
void flush();

}  // namespace deja::cli
