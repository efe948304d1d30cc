#include "config/reference.h"

#include "config/options.h"
#include "config/value.h"

namespace deja::config {
namespace {

constexpr std::string_view intro = R"(# Configuration

<!-- Made from the option table: `deja config --defaults --output markdown > docs/configuration.md`. Do not edit by hand. -->

Every program built on deja, and the `deja` command, reads the same settings. `deja config` shows the values in force, where
each comes from, and its range; secrets are masked.

## The file

The file is TOML. A key may be written with dots (`retry.max.attempts = 5`), in a table (`max.attempts = 5` below `[retry]`), or as
a quoted name (`"retry.max.attempts" = 5`); all three say the same.

It is the file given with `--config`, else the one that `$DEJA_CONFIG` names, else `deja.toml` in the working directory if it
is there. A small one:

```toml
group.id = "payments"
postgres.url = "postgresql://app:${PG_PASSWORD}@db.internal/payments"
retry.max.attempts = 8

[kafka]
bootstrap.servers = "kafka-1.internal:9092,kafka-2.internal:9092"
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "payments"
"sasl.password" = "${KAFKA_PASSWORD}"
consumer."session.timeout.ms" = 30000

[app]
events.topic = "payments.settled"
```

## Which value wins

1. `--set key=value`, as often as needed; the last one wins. It is read by the type of the key: `--set batch.max.records=100`,
   `--set start.from=latest`, `--set dlq.headers.allow=trace-id,tenant`.
2. The file.
3. The environment, for the keys that name a variable below.
4. The default.

An unknown key, a wrong type, a value out of range or two values that contradict each other end the program with exit code 78.
All problems are listed, one a line, with the file's line and what would be right. A `--set` without `=` ends it with 64.

## `${NAME}`

Inside a string, in the file or after `--set`, `${NAME}` takes the value of the environment variable, once: what comes in is not
looked at again. A variable that is not set is an error (78). `$$` is a dollar, and so is a `$` that no `{` follows. It works
inside quotes only, so a number from the environment is written `batch.max.records = "${BATCH_MAX}"`. Names of keys are left alone.

## Kafka

`kafka.*` goes to librdkafka under its own names, for the consumer and the producer; `kafka.consumer.*` and `kafka.producer.*`
go to one of them and win. Numbers, flags and lists of strings become text. TOML cannot hold both `a.b = 1` and `a.b.c = 2` with
dotted keys, and librdkafka has names of that kind: put them in quotes in a `[kafka]` table, as above. `client.id` defaults to the
application's name, `isolation.level` to `read_committed`.

What deja depends on is refused, with the key to use instead: `auto.offset.reset` (use `start.from`), `group.id` (use `group.id`
without `kafka.`), `metadata.broker.list` (use `kafka.bootstrap.servers`); and without a substitute `acks`, `enable.idempotence`, `retries`,
`max.in.flight`, `message.timeout.ms`, `enable.auto.commit` and the other offset settings, `enable.partition.eof`,
`transactional.id`, `statistics.interval.ms`, `plugin.library.paths` (it would load code that a settings file names), and all callbacks.

## The program's own settings

`app.*` belongs to the program, which checks it; `deja` ignores it, so one file serves both. Values are strings, numbers, flags
and lists of strings.
)";

constexpr std::string_view exit_codes = R"(
## Exit codes

Programs and the `deja` command use the same. The last line on stderr names the cause.

| code | meaning |
|---|---|
| 0 | clean; after a signal: drained |
| 1 | a finding (of a check or an audit), or part of a selection was refused |
| 64 | wrong usage |
| 65 | the data named is wrong: an unknown id, a stale selection, a malformed file or edit |
| 69 | a dependency or a topic stayed away longer than `startup.timeout.ms` |
| 70 | a defect, also the watchdog's exit after a hang |
| 75 | try again: locked by another operator, or the connection was lost midway |
| 77 | login refused, or a grant is missing |
| 78 | wrong configuration, a taken port, or a schema that is missing or too old |
)";

std::string default_column(const Option& option) {
  std::string text;
  if (!option.derived_default.empty()) {
    text = option.derived_default;
  } else if (!option.environment.empty()) {
    text = "`$" + std::string(option.environment) + "`";
  } else if (const auto value = accept_text(option, option.default_text); value && !to_text(*value).empty()) {
    text = "`" + to_text(*value) + "`";
  } else {
    text = "empty";
  }
  return text;
}

std::string code(const std::string& text) { return text.empty() ? text : "`" + text + "`"; }

}  // namespace

std::string configuration_reference() {
  std::string page(intro);
  std::string_view section;
  for (const auto& option : options()) {
    if (option.section != section) {
      section = option.section;
      page += "\n## " + std::string(section) + "\n\n| key | type | default | range | unit | |\n|---|---|---|---|---|---|\n";
    }
    page += "| `" + std::string(option.key) + "` | " + std::string(type_name(option.type)) + " | " + default_column(option) + " | " +
            code(range_text(option)) + " | " + std::string(option.unit) + " | " + std::string(option.description) + " |\n";
  }
  page += exit_codes;
  return page;
}

}  // namespace deja::config
