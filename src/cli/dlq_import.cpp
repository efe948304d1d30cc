#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "audit/key_reader.h"
#include "cli/change.h"
#include "cli/dlq.h"
#include "cli/lane_transaction.h"
#include "cli/record_lines.h"
#include "core/fingerprint.h"
#include "core/foreign_dead_letter.h"
#include "core/header_json.h"
#include "core/lane_map.h"
#include "core/utf8.h"
#include "kafka/log_reader.h"
#include "postgres/dead_letter_admin.h"
#include "postgres/dead_letter_import.h"
#include "postgres/explain.h"

// Dead letters from JSON lines or from another framework's dead-letter topic.

namespace deja::cli {
namespace {

constexpr Field import_fields[] = {{"action_id", FieldType::number}, {"matched", FieldType::number}, {"accepted", FieldType::number}, {"refused", FieldType::number},
                                   {"already_there", FieldType::number}, {"not_consumed", FieldType::number}, {"handled_before", FieldType::number},
                                   {"incomplete", FieldType::number}, {"settled", FieldType::number}};
constexpr std::size_t import_at_once = 500;
constexpr std::size_t longest_import_error = 8192;

struct ImportOptions {
  std::string file, from_topic;
  ChangeOptions change;
};

class Import {
 public:
  Import(const Context& context, const ImportOptions& options)
      : options_(options), output_(context.list, import_fields), config_(context.load()), group_(context.group(config_)), schema_(config_.text("postgres.schema")) {
    if (group_.empty()) throw Stop(exit_code::usage, "dlq import: for which group? Give --group GROUP or set group.id");
    connection_ = open_for_change(config_, "dlq import");
    store_.emplace(*connection_, schema_, group_);
  }

  int run() {
    options_.from_topic.empty() ? read_lines() : read_topic();  // all of it before anything is changed
    if (matched_ == 0) throw Stop(exit_code::wrong_data, "there is nothing to import in " + source());
    confirm(options_.change, {std::to_string(matched_ - not_consumed_ - handled_before_ - incomplete_ - settled_) + " of " + std::to_string(matched_) + " records from " + source() + " become open dead letters of group " + group_,
                              options_.change.expect ? std::optional(matched_) : std::nullopt});
    postgres::DeadLetterAdmin admin(*connection_, schema_);
    const auto action = postgres::explained(*connection_, [&] { return admin.begin_action(group_, "import", options_.change.reason, matched_); });
    const auto in_all = [&] { return already_there_ + not_consumed_ + handled_before_ + incomplete_ + settled_; };
    try {
      for (const auto& [place, letters] : letters_)
        for (std::size_t from = 0; from < letters.size(); from += import_at_once) insert(place, {letters.begin() + static_cast<std::ptrdiff_t>(from), letters.begin() + static_cast<std::ptrdiff_t>(std::min(letters.size(), from + import_at_once))}, action);
    } catch (const Stop& stop) {
      admin.stop_action(action, in_all(), stop.what());
      if (accepted_ == 0) throw;
      throw Stop(stop.exit_code(), std::string(stop.what()) + "; " + std::to_string(accepted_) + " were imported before: the same import again leaves them as they are and takes the rest");
    }
    const auto refused = in_all();
    postgres::explained(*connection_, [&] { admin.end_action(action, refused); });
    output_.row({action, matched_, accepted_, refused, already_there_, not_consumed_, handled_before_, incomplete_, settled_});
    output_.finish();
    const auto tell = [](std::int64_t n, const char* why) {
      if (n > 0) std::cerr << "refused: " << n << " " << why << "\n";
    };
    tell(already_there_, "that are dead letters here already, whatever their status (deja dlq list), or parked, or took effect");
    tell(not_consumed_, "that this group has not consumed yet: it will read them in its topic");
    tell(handled_before_, "that this group has handled, by a handler without keys: it would handle them again");
    tell(incomplete_, "whose topic has not their value, only a reference to it (deja-dlq-body): export them where they are");
    tell(settled_, "that were replayed or discarded where they come from");
    return refused > 0 ? exit_code::finding : exit_code::clean;
  }

 private:
  struct Place {
    std::string topic;
    std::int32_t partition = 0, lane = 0;  // of the lane's row
    std::string handler;
    auto operator<=>(const Place&) const = default;
  };

  std::string source() const { return !options_.from_topic.empty() ? "topic " + options_.from_topic : options_.file == "-" ? "stdin" : options_.file; }

  void read_lines() {
    RecordLines lines(options_.file);
    for (std::string line; lines.next(line);) in_place(lines.place(), [&] { add(core::parse_record_line(line), 0, lines.place()); });
  }

  void read_topic() {
    const auto kafka = open_kafka(config_, group_);
    kafka::Partitions partitions;
    try {
      const auto state = kafka->topic(options_.from_topic);
      if (!state.exists) throw Stop(exit_code::wrong_data, "topic " + options_.from_topic + " is not there: " + state.error);
      for (std::int32_t p = 0; p < state.partitions; ++p) partitions.push_back({options_.from_topic, p});
      std::vector<kafka::LogSlice> slices;
      for (const auto& [partition, log] : kafka->ranges(partitions))
        if (log.start < log.end) slices.push_back({partition, log.start, log.end});
      if (slices.empty()) return;
      kafka::LogReader(config_.kafka(config::Role::consumer), group_).read(slices, [&](core::SourceRecord record) {
        const auto& v = record.view;
        const auto text = [](const std::optional<std::string_view>& bytes) { return bytes ? std::optional<std::string>(*bytes) : std::nullopt; };
        core::RecordLine line{.key = text(v.key), .value = text(v.value)};
        for (const auto& h : v.headers) line.headers.emplace_back(h.name, text(h.value));
        const auto place = "topic " + options_.from_topic + "/" + std::to_string(v.partition) + " offset " + std::to_string(v.offset);
        if (const auto id = header_of(line, "deja-dlq-id"); id && header_of(line, "deja-dlq-status")) status_[*id] = *header_of(line, "deja-dlq-status");
        else read_.push_back({std::move(line), v.timestamp_ms, place});
      }, [](std::int64_t) {});
      for (auto& each : std::exchange(read_, {})) in_place(each.place, [&] { add(std::move(each.line), each.timestamp_ms, each.place); });
    } catch (const kafka::Unreachable& error) {
      throw Stop(exit_code::unavailable, std::string("Kafka does not say what topic ") + options_.from_topic + " holds (kafka.bootstrap.servers): " + error.what());
    }
  }

  template <class Work>
  static void in_place(const std::string& place, Work&& work) {
    try {
      work();
    } catch (const core::MalformedLine& error) {
      throw Stop(exit_code::wrong_data, place + ": " + error.what() + "; nothing was changed");
    }
  }

  static std::optional<std::string> header_of(const core::RecordLine& line, const char* name) {
    for (const auto& [header, value] : line.headers)
      if (header == name) return value.value_or("");
    return std::nullopt;
  }

  // Where a line says itself which record of a topic of this group it was, that counts: it may be of a topic that is itself a dead-letter topic.
  void add(core::RecordLine line, std::int64_t timestamp_ms, const std::string& place) {
    core::DeadLetterOrigin origin;
    bool by_reference = false, settled = false;
    const bool says_itself = line.topic && line.partition && line.offset;
    if (says_itself) {
      origin.topic = *line.topic;
      origin.partition = *line.partition;
      origin.offset = *line.offset;
    }
    if (!says_itself || !target(origin.topic, origin.partition)) {
      if (auto foreign = core::dead_letter_origin(line)) {
        origin = std::move(*foreign);
        by_reference = header_of(line, "deja-dlq-body").has_value();
        const auto id = header_of(line, "deja-dlq-id");
        const auto status = id ? status_.find(*id) : status_.end();
        settled = status != status_.end() && status->second != "open";
        core::forget_failure_headers(line);
      } else if (!says_itself) {
        throw core::MalformedLine("says nowhere which record it was: topic, partition and offset, or the headers of Kafka Connect, Spring Kafka or KIP-1191");
      }
    }
    const auto& there = target(origin.topic, origin.partition);
    const auto name = origin.topic + "/" + std::to_string(origin.partition);
    if (!there) throw core::MalformedLine("group " + group_ + " handles no " + name + " (deja lanes --group " + group_ + ")");
    const bool by_function = there->ordering != core::LaneMap{}.ordering;
    if (by_function && there->lanes.size() > 1) throw core::MalformedLine("which lane of " + name + " it belongs to, only its program knows (ordering by a key function, several lanes)");
    ++matched_;
    const auto number = core::lane_of(line.key, origin.offset, static_cast<std::int32_t>(there->lanes.size()));
    const auto& lane = there->lanes.at(static_cast<std::size_t>(number));
    if (by_reference) {
      ++incomplete_;
    } else if (settled) {
      ++settled_;
    } else if (origin.offset >= lane.next_offset) {
      ++not_consumed_;
    } else if (there->key_free && origin.offset >= lane.start_offset) {
      ++handled_before_;
    } else {
      letters_[{origin.topic, origin.partition, lane.id, there->handler}].push_back(letter_of(*there, line, origin, timestamp_ms, by_function, place));
    }
  }

  // By what its program recorded; a key function only the program has.
  void make_key(const postgres::ImportTarget& there, const core::RecordLine& line, const core::DeadLetterOrigin& origin, postgres::ImportedLetter& letter) const {
    std::vector<std::string> secrets;
    for (const auto* key : {"key.secret", "keys.previous.secret"})
      if (const auto& secret = config_.text(key); !secret.empty()) secrets.push_back(secret);
    if (secrets.empty()) secrets.emplace_back();
    const auto sources = audit::key_sources(there.recipes, secrets);
    core::SourceRecord record;
    const auto view = [](const std::optional<std::string>& bytes) { return bytes ? std::optional<std::string_view>(*bytes) : std::nullopt; };
    for (const auto& [name, value] : line.headers) record.headers.push_back({name, view(value)});
    record.view = {.topic = origin.topic, .partition = origin.partition, .offset = origin.offset, .key = view(line.key), .value = view(line.value), .headers = record.headers};
    if (!sources.now.key) return;
    const auto read = audit::KeyReader(sources).read(record);
    if (read.count == 0) return;
    letter.key = read.keys[0];
    letter.digest = read.digest;
  }

  postgres::ImportedLetter letter_of(const postgres::ImportTarget& there, const core::RecordLine& line, const core::DeadLetterOrigin& origin, std::int64_t timestamp_ms, bool by_function, const std::string& place) const {
    postgres::ImportedLetter letter;
    letter.offset = origin.offset;
    letter.record_key = line.key;
    letter.value = line.value;
    std::vector<EventHeader> headers;
    for (const auto& [name, value] : line.headers) headers.push_back({name, value ? Bytes(*value) : Bytes()});
    letter.headers = core::headers_json(headers);
    make_key(there, line, origin, letter);
    letter.timestamp_ms = origin.timestamp_ms.value_or(timestamp_ms);
    letter.attempts = origin.attempts;
    if (line.key && !by_function) letter.ordering = core::ordering_hash(*line.key);
    const auto told = origin.error_type.empty() ? origin.error : origin.error_type + (origin.error.empty() ? "" : ": " + origin.error);
    auto error = told.empty() ? "imported from " + place : told + " (" + origin.framework + ", imported from " + source() + ")";
    for (auto& c : error)
      if (c == '\0') c = ' ';
    letter.error = std::string(core::utf8_prefix(core::is_utf8(error) ? error : "imported from " + place, longest_import_error));
    letter.fingerprint = core::failure_fingerprint(origin.error_type, "import", told.empty() ? "imported" : told);
    return letter;
  }

  const std::optional<postgres::ImportTarget>& target(const std::string& topic, std::int32_t partition) {
    const auto [at, is_new] = targets_.try_emplace({topic, partition});
    if (is_new) at->second = postgres::explained(*connection_, [&] { return store_->target(topic, partition); });
    return at->second;
  }

  void insert(const Place& place, const std::vector<postgres::ImportedLetter>& letters, std::int64_t action) {
    std::vector<std::int64_t> inserted;
    in_lane_transaction(*connection_, schema_, {"dlq import", group_, options_.change.reason, {}}, place.topic + "/" + std::to_string(place.partition), [&]() -> std::optional<std::string> {
      inserted = store_->insert(place.lane, place.handler, letters, action);
      if (inserted.empty()) return std::nullopt;
      std::sort(inserted.begin(), inserted.end());
      return nlohmann::ordered_json({{"action_id", action}, {"source", source()}, {"topic", place.topic}, {"partition", place.partition}, {"offsets", inserted}}).dump();
    });
    accepted_ += static_cast<std::int64_t>(inserted.size());
    already_there_ += static_cast<std::int64_t>(letters.size() - inserted.size());
  }

  const ImportOptions& options_;
  Output output_;
  const config::Config config_;
  const std::string group_, schema_;
  std::unique_ptr<postgres::Connection> connection_;
  std::optional<postgres::DeadLetterImport> store_;
  std::map<std::pair<std::string, std::int32_t>, std::optional<postgres::ImportTarget>> targets_;
  std::map<Place, std::vector<postgres::ImportedLetter>> letters_;
  std::int64_t matched_ = 0, accepted_ = 0, already_there_ = 0, not_consumed_ = 0, handled_before_ = 0, incomplete_ = 0, settled_ = 0;
  struct Raw {
    core::RecordLine line;
    std::int64_t timestamp_ms;
    std::string place;
  };
  std::vector<Raw> read_;
  std::map<std::string, std::string> status_;  // what a topic was told of its letters, by deja-dlq-id
};

}  // namespace

void add_dlq_import(CLI::App& dlq, Context& context) {
  auto o = std::make_shared<ImportOptions>();
  auto* command = dlq.add_subcommand("import", "Dead letters from elsewhere become open ones of this group, to be replayed under its keys");
  auto* file = command->add_option("FILE", o->file, "JSON lines as `deja dlq export` writes them, - for stdin");
  command->add_option("--from-topic", o->from_topic, "A dead-letter topic with the headers of Kafka Connect, Spring Kafka or KIP-1191, as it is now")->type_name("TOPIC")->excludes(file);
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] {
    context.run = [&context, o] {
      check_change(o->change);
      if (o->file.empty() == o->from_topic.empty()) throw Stop(exit_code::usage, "dlq import: from where? FILE, - for stdin, or --from-topic TOPIC");
      return Import(context, *o).run();
    };
  });
}

}  // namespace deja::cli
