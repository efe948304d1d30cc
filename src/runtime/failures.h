#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

#include <deja/errors.h>

// How a batch can end without a commit. Each says what to do next; thrown by the batch, caught by its lane.

namespace deja::runtime {

/// The lane row is not as this owner left it: somebody else has it, or the database went back.
struct Fenced : std::runtime_error {
  Fenced() : std::runtime_error("the lane row belongs to another owner now") {}
};

/// The link to the database is lost or refused; a commit on its way may or may not have happened.
struct DatabaseAway : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Deadlock, serialization failure, lock not to be had: the whole batch again, no record is to blame.
struct RepeatBatch : std::runtime_error {
  RepeatBatch(std::string sqlstate, const std::string& what) : std::runtime_error(what), cause(std::move(sqlstate)) {}
  std::string cause;
};

/// Some record failed after statements were sent: once more, with a savepoint for each record.
struct NeedsSavepoints : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Found only when the batch was closed or committed, with savepoints already in use: alone, the record to blame is known.
struct FailedAtCommit : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The handler of record `index` (within the batch) threw Unavailable.
struct DependencyAway : std::runtime_error {
  DependencyAway(std::size_t i, std::string name, std::optional<std::chrono::milliseconds> wait)
      : std::runtime_error(name + " is unavailable"), index(i), dependency(std::move(name)), retry_after(wait) {}
  std::size_t index;
  std::string dependency;
  std::optional<std::chrono::milliseconds> retry_after;
};

/// The record at `index` fails as most records do, which is taken for an outage.
struct Flood : std::runtime_error {
  Flood(std::size_t i, const std::string& cause) : std::runtime_error(cause), index(i) {}
  std::size_t index;
};

/// The record at `index` would have to be parked, and a bound is reached (park.policy = pause).
struct NoRoom : std::runtime_error {
  explicit NoRoom(std::size_t i) : std::runtime_error("no room to park a record"), index(i) {}
  std::size_t index;
};

/// A handler call took longer than handler.timeout.ms. `first` is the index within the batch of its first record, `count` how many
/// the call was given.
struct HandlerTooSlow : std::runtime_error {
  HandlerTooSlow(std::size_t f, std::size_t n, const std::string& what) : std::runtime_error(what), first(f), count(n) {}
  std::size_t first, count;
};

/// One of the above, or Stop: passes through as it is.
inline bool is_batch_outcome(const std::exception& e) {
  return dynamic_cast<const Fenced*>(&e) || dynamic_cast<const DatabaseAway*>(&e) || dynamic_cast<const RepeatBatch*>(&e) ||
         dynamic_cast<const NeedsSavepoints*>(&e) || dynamic_cast<const FailedAtCommit*>(&e) || dynamic_cast<const DependencyAway*>(&e) ||
         dynamic_cast<const HandlerTooSlow*>(&e) || dynamic_cast<const NoRoom*>(&e) || dynamic_cast<const Flood*>(&e) || dynamic_cast<const Stop*>(&e);
}

}  // namespace deja::runtime
