#include "cli/context.h"
#include "cli/record_lines.h"
#include "core/json_lines.h"
#include "kafka/record_sender.h"

namespace deja::cli {
namespace {

constexpr Field send_fields[] = {{"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number}};

struct SendOptions {
  std::string topic;
  std::optional<std::string> key, value, file;
  std::vector<std::string> headers;
};

// One line for each record as it is confirmed: a file may have any number of them, so no table is put together.
class Reporter {
 public:
  explicit Reporter(Format format) : format_(format) {}

  void operator()(const kafka::SentRecord& sent) {
    if (gone_) return;
    const Row row{sent.topic, std::int64_t{sent.partition}, sent.offset};
    try {
      if (format_ == Format::json) {
        print(json_line(row, send_fields) + "\n");
      } else {
        if (!std::exchange(headed_, true)) print("topic  partition  offset\n");
        print(sent.topic + "  " + std::to_string(sent.partition) + "  " + std::to_string(sent.offset) + "\n");
      }
    } catch (const ReaderGone&) {
      gone_ = true;  // what is to be sent is sent all the same
    }
  }

 private:
  Format format_;
  bool headed_ = false;
  bool gone_ = false;
};

core::RecordLine record_of_arguments(const SendOptions& options) {
  core::RecordLine record{.key = options.key, .value = options.value, .topic = options.topic};
  for (const auto& header : options.headers) {
    const auto sign = header.find('=');
    if (sign == std::string::npos || sign == 0) throw Stop(exit_code::usage, "--header takes NAME=VALUE, not \"" + header + "\"");
    record.headers.emplace_back(header.substr(0, sign), header.substr(sign + 1));
  }
  return record;
}

core::RecordLine parsed(const std::string& line, const std::string& place, const std::string& topic) {
  try {
    auto record = core::parse_record_line(line);
    // A partition belongs to the topic that it was taken from.
    if (record.topic && *record.topic != topic) record.partition.reset();
    record.topic = topic;
    return record;
  } catch (const core::MalformedLine& error) {
    throw Stop(exit_code::wrong_data, place + ": " + error.what());
  }
}

void send_all(kafka::RecordSender& sender, const SendOptions& options) {
  if (!options.file) {
    sender.wait_for_topic(options.topic);
    sender.send(record_of_arguments(options));
    return;
  }
  RecordLines lines(*options.file);
  sender.wait_for_topic(options.topic);
  for (std::string line; lines.next(line);) {
    auto record = parsed(line, lines.place(), options.topic);
    try {
      sender.send(record);
    } catch (const Stop& stop) {
      throw Stop(stop.exit_code(), lines.place() + " or before it: " + stop.what());
    }
  }
}

void check_usage(const SendOptions& options) {
  if (options.file && (options.value || options.key || !options.headers.empty())) {
    throw Stop(exit_code::usage, "--file brings keys, values and headers itself: it does not go with VALUE, --key or --header");
  }
}

int send(const Context& context, const SendOptions& options) {
  check_usage(options);
  const auto config = context.load();
  config.require("kafka.bootstrap.servers");
  kafka::RecordSender sender(config.kafka(config::Role::producer), config.duration("startup.timeout.ms"), Reporter(context.list.format));
  try {
    send_all(sender, options);
    sender.finish();
  } catch (const Stop& stop) {
    try {
      sender.finish();  // what was handed over before is told too
    } catch (const Stop&) {  // the first cause is the one to tell
    }
    throw Stop(stop.exit_code(), std::string(stop.what()) + "; records sent: " + std::to_string(sender.delivered()));
  }
  flush();
  return exit_code::clean;
}

}  // namespace

void add_send(CLI::App& app, Context& context) {
  auto options = std::make_shared<SendOptions>();
  auto* command = app.add_subcommand("send", "Sends records to a topic and tells where each went, in order");
  command->add_option("TOPIC", options->topic, "The topic")->required();
  command->add_option_function<std::string>("VALUE", [options](const std::string& v) { options->value = v; }, "The value; null without one");
  command->add_option_function<std::string>("--key", [options](const std::string& v) { options->key = v; }, "The key; null without one");
  command->add_option("--header", options->headers, "A header; any number of times")->type_name("NAME=VALUE")->allow_extra_args(false)->take_all();
  command
      ->add_option_function<std::string>("--file", [options](const std::string& v) { options->file = v; },
                                         "Records as JSON lines, - for stdin: {\"key\", \"value\", \"headers\": [[\"name\", \"value\"]]}; bytes that are no "
                                         "UTF-8 as {\"base64\": \"..\"}. All go to TOPIC; a line's partition counts if it names no other topic")
      ->type_name("LINES");
  add_output_option(*command, context);
  command->callback([&context, options] { context.run = [&context, options] { return send(context, *options); }; });
}

}  // namespace deja::cli
