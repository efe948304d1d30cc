#pragma once

#include "cli/context.h"
#include "postgres/stuck_admin.h"

namespace deja::cli {

/// What `deja outbox list` shows, and --filter of its siblings chooses by.
std::span<const Field> stuck_fields();
Row to_row(const postgres::StuckListing& event);

/// retry and discard.
void add_outbox_changes(CLI::App& outbox, Context& context);

}  // namespace deja::cli
