#pragma once

#include "cli/context.h"
#include "postgres/admin.h"

namespace deja::cli {

/// What `deja dlq list` shows, and --filter of its siblings chooses by.
std::span<const Field> dead_letter_fields();
Row to_row(const postgres::DeadLetterRow& letter);

/// discard and restore
void add_dlq_discard(CLI::App& dlq, Context& context);
void add_dlq_replay(CLI::App& dlq, Context& context);
void add_dlq_stats(CLI::App& dlq, Context& context);
void add_dlq_edit(CLI::App& dlq, Context& context);
void add_dlq_export(CLI::App& dlq, Context& context);
void add_dlq_import(CLI::App& dlq, Context& context);
/// actions, pause, resume and cancel
void add_dlq_actions(CLI::App& dlq, Context& context);

}  // namespace deja::cli
