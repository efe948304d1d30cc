#include "audit/audit.h"

#include "cli/context.h"

namespace deja::cli {
namespace {

struct Given {
  std::string topic;
  std::optional<std::int64_t> from, to;
};

int run_audit(const Context& context, const Given& given) {
  const auto config = context.load();
  audit::Options options;
  options.group = context.group(config);
  if (!given.topic.empty()) options.topics = {given.topic};
  options.from = given.from;
  options.to = given.to;
  if (context.list.limit) options.named = static_cast<std::size_t>(*context.list.limit);
  const auto secrets = audit::secrets(config);
  return audit::run_and_print(config, options, [&](const core::KeyRecipes& recipes) { return audit::key_sources(recipes, secrets); }, context.list.format == Format::json);
}

}  // namespace

void add_audit(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("audit", "Reads the log again and proves one disposition for every record and one committed event for every number");
  const auto given = std::make_shared<Given>();
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->add_option("--topic", given->topic, "Only this topic (default: all that the group has lanes for)")->type_name("TOPIC");
  command->add_option("--from", given->from, "Only records from this offset on, in each partition")->check(CLI::NonNegativeNumber)->type_name("OFFSET");
  command->add_option("--to", given->to, "Only records below this offset, in each partition")->check(CLI::NonNegativeNumber)->type_name("OFFSET");
  command->add_option_function<std::int64_t>("--limit", [&context](const std::int64_t& n) { context.list.limit = n; }, "Findings to name, of each kind and partition (default: 20)")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command->callback([&context, given] { context.run = [&context, given] { return run_audit(context, *given); }; });
}

}  // namespace deja::cli
