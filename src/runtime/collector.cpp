#include "runtime/collector.h"

#include "failpoints/failpoint.h"
#include "runtime/thrown.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>

namespace deja::runtime {

namespace {
// The first word, lower case, behind blanks and comments.
std::string first_word(std::string_view sql) {
  std::size_t i = 0;
  while (i < sql.size()) {
    if (std::isspace(static_cast<unsigned char>(sql[i])) || sql[i] == ';' || sql[i] == '(') {
      ++i;
    } else if (sql.substr(i, 2) == "--") {
      i = std::min(sql.find('\n', i), sql.size());
    } else if (sql.substr(i, 2) == "/*") {
      int depth = 1;  // Postgres' comments nest
      for (i += 2; i < sql.size() && depth > 0; ++i) {
        if (sql.substr(i, 2) == "/*") ++depth, ++i;
        else if (sql.substr(i, 2) == "*/") --depth, ++i;
      }
    } else {
      break;
    }
  }
  std::string word;
  for (; i < sql.size() && std::isalpha(static_cast<unsigned char>(sql[i])); ++i)
    word += static_cast<char>(std::tolower(static_cast<unsigned char>(sql[i])));
  return word;
}
}  // namespace

namespace {
constexpr std::size_t event_overhead = 1024;  // deja's own headers and Kafka's framing

bool is_topic_name(std::string_view name) {
  return !name.empty() && name.size() <= 249 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; });
}
}  // namespace

bool ends_transaction(std::string_view sql) {
  static constexpr std::array<std::string_view, 9> words = {"commit", "rollback", "abort", "end", "begin", "start", "savepoint", "release", "prepare"};
  const auto word = first_word(sql);
  return std::find(words.begin(), words.end(), word) != words.end();
}

void Collector::begin_call() {
  sent_ = false;
  failure_.reset();
  mark_statements_ = queue_.size();
  mark_events_ = emitted_.size();
  mark_rejected_ = rejected_.size();
}

void Collector::undo() {
  queue_.shrink(mark_statements_);
  emitted_.resize(mark_events_);
  rejected_.resize(mark_rejected_);
}

void Collector::begin_group() {
  group_events_ = emitted_.size();
  group_rejected_ = rejected_.size();
}

void Collector::undo_group() {
  queue_.clear();
  emitted_.resize(group_events_);
  rejected_.resize(group_rejected_);
}

void Collector::flush() {
  const auto sql = queue_.sql(connection_, prepared_);
  queue_.clear();
  if (sql.empty()) return;
  connection_.exec(sql);
  DEJA_FAILPOINT(after_flush);
}

void Collector::insert(std::string_view table, std::span<const Column> row) { queue_.insert(table, row); }
void Collector::defer(std::string_view sql, std::span<const Value> arguments) { queue_.defer(sql, arguments); }

void Collector::emit(const Record& source, Event event) {
  // What Kafka would refuse for good is the record's own failure, not a hold-up of the lane's events.
  if (!is_topic_name(event.topic)) throw std::invalid_argument("emit: not a topic name (1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-')");
  std::size_t size = event.key.size() + event.value.size() + event_overhead;
  for (const auto& header : event.headers) size += header.name.size() + header.value.size() + 16;
  if (size > max_event_bytes_)
    throw Oversized("emit: an event of " + std::to_string(size) + " bytes is more than kafka.producer.message.max.bytes (" +
                                std::to_string(max_event_bytes_) + ") lets through");
  for (const auto& header : event.headers)
    if (header.name.starts_with("deja-") || header.name.starts_with("__dlq."))
      throw std::invalid_argument("emit: header names beginning with deja- and __dlq. are reserved: " + header.name);
  emitted_.push_back({source.offset(), std::move(event)});
}

void Collector::reject(const Record& record, std::string_view reason) { rejected_.push_back({record.offset(), std::string(reason)}); }

pqxx::result Collector::query(std::string_view sql, std::span<const Value> arguments) {
  if (ends_transaction(sql))
    throw std::logic_error("the handler ends the batch transaction (" + first_word(sql) + "): remove the statement, deja commits the batch");
  std::vector<std::optional<std::string>> texts;
  texts.reserve(arguments.size());
  for (const auto& value : arguments) texts.push_back(value.is_null() ? std::nullopt : std::optional(std::string(value.text())));
  sent_ = true;
  try {
    flush();
    auto result = connection_.exec_params(std::string(sql), texts);
    DEJA_FAILPOINT(after_handler_query);
    return result;
  } catch (const std::invalid_argument&) {  // a NUL in an argument: nothing was sent
    throw;
  } catch (const std::exception& e) {
    failure_ = postgres::classify(e, !connection_.broken());  // remembered: the handler may catch it
    throw;
  }
}

}  // namespace deja::runtime
