#pragma once

#include <string>

// The attempts that failed, as parked and dead_letters keep them: [{"at", "attempt", "stage", "error", "build"}], the last ones, so that
// a row does not grow with every replay.

namespace deja::postgres {

/// An expression: `history` (jsonb) with a failure that happens now. The others are expressions, too.
inline std::string with_failure(const std::string& history, const std::string& attempt, const std::string& stage, const std::string& error, const std::string& build) {
  const std::string most = "20", longest_error = "1000";
  return "case when jsonb_array_length(" + history + ") < " + most + " then " + history + " else " + history + " - 0 end || jsonb_build_array(jsonb_build_object('at', " +
         "to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 'attempt', " + attempt + ", 'stage', " + stage + ", 'error', left(" + error + ", " + longest_error +
         "), 'build', " + build + "))";
}

}  // namespace deja::postgres
