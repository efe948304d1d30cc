#pragma once

#include "cli/context.h"

namespace deja::cli {

// What `deja lanes` does beside showing, one file each.
void add_lanes_reset(CLI::App& lanes, Context& context);
void add_lanes_accept_loss(CLI::App& lanes, Context& context);
void add_lanes_orders(CLI::App& lanes, Context& context);

}  // namespace deja::cli
