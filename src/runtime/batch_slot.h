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
  /// It is parked, again or for the first time; without a failure behind another record.
  struct Parking {
    std::optional<postgres::ParkedFailure> failure;
    std::chrono::milliseconds delay{0};
  };
  std::optional<Parking> parking;
  /// It failed in a way that may be its surroundings' fault.
  struct Suspicion {
    std::string fingerprint, words;
  };
  std::optional<Suspicion> suspicion;
  bool settled = false, ran = false;
};

}  // namespace deja::runtime
