#include "testing/temporary_postgres.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postgres/connection.h"

namespace deja::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

// Waits for its stdin to close, which the kernel does when we are gone, however we went; then stops the server and cleans up.
constexpr const char* guard_script = R"sh(programs=$1; folder=$2; port=$3
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
"$programs/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync > log 2>&1 < /dev/null || { touch ended; cat; exit 1; }
{ "$programs/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
  -c full_page_writes=off -c logging_collector=off -c jit=off >> log 2>&1 < /dev/null; touch ended; } &
watch=$!
cat
[ -e data/postmaster.pid ] && kill -QUIT "$(head -n 1 data/postmaster.pid)"
wait "$watch"
)sh";

fs::path find_programs() {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    if (fs::exists(entry.path() / "bin/initdb", none)) found.push_back(entry.path() / "bin");
  }
  const auto number = [](const fs::path& bin) { return std::atoi(bin.parent_path().filename().c_str()); };
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) { return number(a) > number(b); });
  if (!found.empty()) return found.front();
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');) {
    if (fs::exists(fs::path(folder) / "initdb", none)) return fs::canonical(fs::path(folder) / "initdb").parent_path();
  }
  throw std::runtime_error("no Postgres server is installed (looked for initdb in /usr/lib/postgresql/*/bin and PATH)");
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool ok = fd >= 0 && ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0;
  if (fd >= 0) ::close(fd);
  if (!ok) throw std::runtime_error("no free port on the loopback interface");
  return ntohs(address.sin_port);
}

// initdb and postgres refuse to run as root.
const passwd* server_user() {
  if (::geteuid() != 0) return nullptr;
  const auto* user = ::getpwnam("postgres");
  if (user == nullptr) throw std::runtime_error("Postgres does not run as root and there is no user postgres");
  return user;
}

std::string tail(const fs::path& file) {
  std::ifstream in(file);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

fs::path make_folder(const passwd* user) {
  // The other user must be able to get at it, which a private TMPDIR would not allow.
  std::string pattern = (user != nullptr ? fs::path("/tmp") : fs::temp_directory_path()) / "deja-postgres-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a folder: " + pattern);
  if (user != nullptr && ::chown(pattern.c_str(), user->pw_uid, user->pw_gid) != 0) throw std::runtime_error("cannot hand over " + pattern);
  return pattern;
}

// Only calls that are safe after a fork in a process with threads.
[[noreturn]] void become_guard(int input, const passwd* user, char* const* arguments, char* const* environment) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) ::signal(signal, SIG_DFL);
  ::setsid();  // an interrupt typed at the terminal is for us to handle, not for the server
  ::dup2(input, STDIN_FILENO);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  if (user != nullptr && (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(126);
  ::execve("/bin/bash", arguments, environment);
  ::_exit(127);
}

}  // namespace

TemporaryPostgres::TemporaryPostgres() {
  const auto programs = find_programs();
  // Somebody else may take the port between our look and the server's.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (start(programs)) return;
    stop();
  }
  throw std::runtime_error("the temporary Postgres did not start: " + log_);
}

TemporaryPostgres::~TemporaryPostgres() { stop(); }

bool TemporaryPostgres::start(const fs::path& programs) {
  const auto* user = server_user();
  folder_ = make_folder(user);
  const auto port = std::to_string(free_port());
  url_ = "postgresql://postgres@127.0.0.1:" + port + "/postgres";

  std::array<std::string, 7> words{"bash", "-c", guard_script, "deja-postgres", programs.string(), folder_.string(), port};
  std::array<char*, 8> arguments{};
  std::transform(words.begin(), words.end(), arguments.begin(), [](std::string& word) { return word.data(); });
  std::array<std::string, 2> settings{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
  std::array<char*, 3> environment{settings[0].data(), settings[1].data(), nullptr};

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe to be had");
  guard_ = ::fork();
  if (guard_ == 0) become_guard(ends[0], user, arguments.data(), environment.data());
  ::close(ends[0]);
  lifeline_ = ends[1];
  if (guard_ < 0) throw std::runtime_error("no process to be had");

  const auto log_file = folder_ / "log";
  const auto deadline = steady_clock::now() + std::chrono::seconds(60);
  while (steady_clock::now() < deadline) {
    const bool over = ended();
    if (const auto line = tail(log_file); !line.empty()) log_ = line;
    if (over) return false;
    try {
      if (fs::exists(folder_ / "data/postmaster.pid")) {
        postgres::Connection probe({.url = url_, .what = "start", .connect_timeout = std::chrono::seconds(2)});
        return true;
      }
    } catch (const std::exception&) {  // not yet
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

bool TemporaryPostgres::ended() const {
  std::error_code none;
  return !fs::exists(folder_, none) || fs::exists(folder_ / "ended", none);
}

void TemporaryPostgres::stop() noexcept {
  if (lifeline_ >= 0) ::close(lifeline_);
  lifeline_ = -1;
  if (guard_ > 0) {
    while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  guard_ = -1;
}

}  // namespace deja::testing
