#pragma once

#include <functional>
#include <optional>
#include <string>

#include "postgres/audit_log_store.h"
#include "postgres/connection.h"

namespace deja::cli {

/// An operator's change of lanes and its entry in the audit log, which are committed together. `work` takes the lanes' locks, does the
/// change and returns the entry's detail; nothing: there was nothing to change, and nothing is. `what` is said to be untouched when
/// a batch holds a lane for long. Throws Stop (75) then.
void in_lane_transaction(postgres::Connection& connection, const std::string& schema, postgres::AuditEntry entry, const std::string& what,
                         const std::function<std::optional<std::string>()>& work);

}  // namespace deja::cli
