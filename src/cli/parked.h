#pragma once

#include "cli/context.h"
#include "postgres/parked_admin.h"

namespace deja::cli {

/// What `deja parked list` shows, and --filter of its siblings chooses by.
std::span<const Field> parked_fields();
Row to_row(const postgres::ParkedListing& parked);

/// retry, dead-letter and discard.
void add_parked_changes(CLI::App& parked, Context& context);

}  // namespace deja::cli
