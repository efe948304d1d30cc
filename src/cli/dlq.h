#pragma once

#include "cli/context.h"
#include "postgres/admin.h"

namespace deja::cli {

/// What `deja dlq list` shows, and --filter of its siblings chooses by.
std::span<const Field> dead_letter_fields();
Row to_row(const postgres::DeadLetterRow& letter);

void add_dlq_discard(CLI::App& dlq, Context& context);

}  // namespace deja::cli
