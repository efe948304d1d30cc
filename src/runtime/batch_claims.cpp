#include <algorithm>

#include "failpoints/failpoint.h"
#include "runtime/batch.h"
#include "runtime/batch_slot.h"
#include "runtime/failures.h"

// The keys of a batch: claimed before the handlers run, given back when their record fails (B3).

namespace deja::runtime {

// D2: after a reset, a record that is parked or a dead letter already is left to its row: it is not run, and gets no second disposition.
void Batch::leave_to_their_rows() {
  const auto first = slots_.front().outcome.offset, until = std::min(row_.reread_until, slots_.back().outcome.offset + 1);
  if (first >= until) return;
  const auto dead = stores_.dead_letters.offsets(connection_, row_, first, until);
  DEJA_FAILPOINT(after_dead_letter_look);
  std::unordered_set<std::int64_t> offsets(dead.begin(), dead.end());
  if (!parked().empty()) {
    for (const auto offset : stores_.parked.offsets(connection_, row_, first, until)) offsets.insert(offset);
    DEJA_FAILPOINT(after_parked_look);
  }
  for (auto& slot : slots_) {
    if (!offsets.contains(slot.outcome.offset)) continue;
    slot.settled = true;
    slot.outcome.disposition = core::Disposition::duplicate;
    slot.outcome.cause = core::cause::redelivery;
  }
}

void Batch::claim() {
  std::vector<postgres::KeyClaim> claims;
  for (const auto& slot : slots_) {
    const auto& p = *slot.prepared;
    if (slot.settled) continue;
    p.each_key([&](const core::Uuid& key) {
      const auto [at, is_first] = keys_.try_emplace(key);
      if (!is_first) return;
      at->second.row_offset = p.source->view.offset;
      claims.push_back({key, p.digest, p.source->view.offset});
    });
  }
  if (claims.empty()) return;
  const auto fresh = stores_.keys.claim(connection_, claims, row_.id);
  DEJA_FAILPOINT(after_claim);
  if (fresh.size() == claims.size()) {
    for (auto& [key, use] : keys_) use.state = KeyState::claimed;
    return;
  }
  std::vector<core::Uuid> known;
  for (auto& [key, use] : keys_)
    if (fresh.contains(key)) use.state = KeyState::claimed;
    else known.push_back(key);
  auto holders = stores_.keys.holders(connection_, known);
  DEJA_FAILPOINT(after_holders_read);
  for (const auto& key : known) {
    const auto holder = holders.find(key);
    // The row that stood in the way is gone again: its transaction gave it up. Ask once more.
    if (holder == holders.end()) throw RepeatBatch("key_released", "a key was given up while it was looked up");
    auto& use = keys_.at(key);
    use.state = KeyState::foreign;
    use.digest = holder->second.digest;
    use.holder = std::move(holder->second);
  }
}

void Batch::release_claims() {
  std::vector<core::Uuid> released;
  std::vector<postgres::KeyClaim> moved;  // to a later record with the same key, since the first one failed
  for (const auto& [key, use] : keys_) {
    // claimed and yet not used: its record was known by the other of its two keys
    if (use.state == KeyState::unclaimed || use.state == KeyState::claimed) released.push_back(key);
    if (use.state == KeyState::done && use.holder.offset != use.row_offset) {
      released.push_back(key);
      moved.push_back({key, use.digest, use.holder.offset});
    }
  }
  if (released.empty()) return;
  stores_.keys.release(connection_, released);
  DEJA_FAILPOINT(after_claim_release);
  if (moved.empty()) return;
  stores_.keys.claim(connection_, moved, row_.id);
  DEJA_FAILPOINT(after_claim_move);
}

}  // namespace deja::runtime
