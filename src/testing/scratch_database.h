#pragma once

#include <memory>
#include <string>

#include "testing/temporary_postgres.h"

namespace deja::testing {

/// A database of its own on $DEJA_POSTGRES, or on a temporary server when that is not set. Dropped with this object.
/// Throws std::runtime_error with the cause.
class ScratchDatabase {
 public:
  ScratchDatabase();
  ~ScratchDatabase();
  ScratchDatabase(const ScratchDatabase&) = delete;
  ScratchDatabase& operator=(const ScratchDatabase&) = delete;

  const std::string& url() const { return url_; }
  const std::string& name() const { return name_; }

 private:
  std::unique_ptr<TemporaryPostgres> server_;
  std::string server_url_, name_, url_;
};

}  // namespace deja::testing
