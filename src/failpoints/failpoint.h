#pragma once

#include "failpoints/steps.h"

// DEJA_FAILPOINT(step); stands behind each step of the protocol. A build with the option DEJA_FAILPOINTS can kill, stop, delay or
// throw there (docs/failpoints.md); in every other build the line is checked for its spelling and leaves nothing behind.

#ifdef DEJA_FAILPOINTS
namespace deja::failpoints {
/// Counts the hit and does what is armed for it. Any thread. Throws only where the table says so.
void passed(Step step);
}  // namespace deja::failpoints
#define DEJA_FAILPOINT(step) ::deja::failpoints::passed(::deja::failpoints::Step::step)
#else
#define DEJA_FAILPOINT(step) static_cast<void>(::deja::failpoints::Step::step)
#endif
