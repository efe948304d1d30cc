#pragma once

#include <string>
#include <string_view>

#include "core/hash.h"
#include "core/outbound_event.h"
#include "postgres/dead_letter_store.h"
#include "runtime/batch.h"

namespace deja::runtime {

/// The row of a record that could not be handled.
postgres::NewDeadLetter dead_letter_of(const PreparedRecord& record, const std::string& handler, std::string_view cause, std::string_view stage,
                                    std::string error, const std::string& type);

/// The event for the dead-letter topic: KIP-1191's headers and deja's own. It cannot fail for size: headers are bounded, a body
/// beyond the bound stays in the database (header `deja-dlq-body: reference`).
core::OutboundEvent dead_letter_event(const postgres::NewDeadLetter& letter, const postgres::DeadLetterId& id, const BatchSettings& settings,
                                      core::FramedHash& hash);

}  // namespace deja::runtime
