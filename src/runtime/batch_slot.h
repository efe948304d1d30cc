#pragma once

#include <optional>

#include "runtime/batch.h"

namespace deja::runtime {

/// A record of the batch and what has become of it so far.
struct Batch::Slot {
  explicit Slot(const PreparedRecord& p) : prepared(&p) { outcome.offset = p.source->view.offset; }
  const PreparedRecord* prepared;
  RecordOutcome outcome;
  std::optional<postgres::NewDeadLetter> letter;
  bool settled = false;
};

}  // namespace deja::runtime
