#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace deja::postgres {

class LinkWatch;

/// How to open a connection. Zero durations leave the server's (or libpq's) own setting alone.
struct ConnectionOptions {
  std::string url;                ///< libpq's URL or its key=value words; what is set there is stronger than what is here
  std::string what = "connection";  ///< shown in pg_stat_activity as "deja <what>"
  bool read_only = false;         ///< default_transaction_read_only: writing needs an explicit BEGIN READ WRITE
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds lost_after{0};  ///< a link silent for this long is given up by the kernel (keepalives, tcp_user_timeout)
  LinkWatch* watch = nullptr;               ///< notices what the kernel cannot; outlives the connection
  std::chrono::milliseconds idle_in_transaction_timeout{0};
  std::chrono::milliseconds lock_timeout{0};
};

/// The URL (or words) of `options` with the connection parameters added that it does not set itself.
std::string connection_string(const ConnectionOptions& options);

/// True when the text is a postgres:// or postgresql:// URL.
bool is_url(std::string_view text);

/// `url` with another database, for tools and tests that make one of their own.
std::string with_database(std::string_view url, std::string_view database);

}  // namespace deja::postgres
