#include "cli/lane_transaction.h"

#include "postgres/explain.h"
#include "postgres/lane_moves.h"
#include "postgres/transaction_control.h"

namespace deja::cli {

void in_lane_transaction(postgres::Connection& connection, const std::string& schema, postgres::AuditEntry entry, const std::string& what,
                         const std::function<std::optional<std::string>()>& work) {
  const postgres::AuditLogStore audit(schema);
  postgres::explained(connection, [&] {
    try {
      postgres::in_transaction(connection, [&] {
        const auto detail = work();
        if (!detail) return false;
        entry.detail = *detail;
        audit.append(connection, entry);
        return true;
      }, postgres::LaneMoves::patient);
    } catch (const Stop&) {
      throw;
    } catch (const std::exception& error) {
      if (postgres::classify(error, !connection.broken()).kind != postgres::Failure::repeat) throw;
      throw Stop(exit_code::try_again, what + " is not changed, a batch or another operator holds its lanes: " + error.what());
    }
  });
}

}  // namespace deja::cli
