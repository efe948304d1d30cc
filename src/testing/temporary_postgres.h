#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

namespace deja::testing {

/// A Postgres server of this machine's own binaries, on a free loopback port, in a folder of its own. Gone with this object, and
/// also when the process dies by any signal. Fast and forgetful: fsync is off.
///
/// The constructor returns when the server takes connections; throws std::runtime_error with the cause otherwise.
class TemporaryPostgres {
 public:
  TemporaryPostgres();
  ~TemporaryPostgres();
  TemporaryPostgres(const TemporaryPostgres&) = delete;
  TemporaryPostgres& operator=(const TemporaryPostgres&) = delete;

  const std::string& url() const { return url_; }

 private:
  bool start(const std::filesystem::path& programs);
  void stop() noexcept;
  bool ended() const;

  std::filesystem::path folder_;
  std::string url_;
  std::string log_;
  int lifeline_ = -1;  // while this end of a pipe is open the server lives
  pid_t guard_ = -1;
};

}  // namespace deja::testing
