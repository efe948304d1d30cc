#pragma once

#include "cli/context.h"

namespace deja::cli {

/// For --help of a subcommand: its own fields, not those of `deja lanes`.
std::string footer_of(std::span<const Field> fields);

// What `deja lanes` does beside showing, one file each.
void add_lanes_reset(CLI::App& lanes, Context& context);
void add_lanes_accept_loss(CLI::App& lanes, Context& context);
void add_lanes_orders(CLI::App& lanes, Context& context);

}  // namespace deja::cli
