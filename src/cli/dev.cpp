#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/context.h"
#include "kafka/mock_broker.h"
#include "postgres/migrations.h"
#include "testing/temporary_postgres.h"

namespace deja::cli {
namespace {

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

pid_t start(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);  // ignored here, and ignoring is inherited
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, arguments[0], nullptr, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw Stop(exit_code::usage, command[0] + " cannot be started: " + std::strerror(error));
  return child;
}

// The exit code, as a shell would give it.
int wait_for(pid_t child, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    if (::sigwaitinfo(&signals, &info) < 0) continue;
    if (info.si_signo != SIGCHLD) {
      // What is typed at the terminal reaches the whole group; a second one would cut the command's drain short.
      if (info.si_code != SI_KERNEL) ::kill(child, info.si_signo);
      continue;
    }
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) != child) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

void put_own_folder_on_path() {
  std::error_code none;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", none);
  if (none) return;
  const char* path = std::getenv("PATH");
  ::setenv("PATH", (self.parent_path().string() + (path != nullptr ? ":" + std::string(path) : "")).c_str(), 1);
}

// NAME or NAME:PARTITIONS
void create_topic(kafka::MockBroker& broker, const std::string& text) {
  const auto colon = text.find(':');
  int partitions = 4;
  if (colon != std::string::npos) {
    const auto number = text.substr(colon + 1);
    if (number.empty() || number.size() > 4 || number.find_first_not_of("0123456789") != std::string::npos || std::stoi(number) == 0) {
      throw Stop(exit_code::usage, "--topic takes NAME or NAME:PARTITIONS, not \"" + text + "\"");
    }
    partitions = std::stoi(number);
  }
  broker.create(text.substr(0, colon), partitions);
}

testing::TemporaryPostgres start_postgres() {
  try {
    return testing::TemporaryPostgres();
  } catch (const std::runtime_error& error) {
    throw Stop(exit_code::unavailable, error.what());
  }
}

int dev(const Context& context, const std::vector<std::string>& topics) {
  // Before any thread starts, so that none of them takes these signals.
  auto signals = watched_signals();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);

  kafka::MockBroker broker;
  for (const auto& topic : topics) create_topic(broker, topic);
  const auto server = start_postgres();
  ::setenv("DEJA_KAFKA", broker.bootstrap_servers().c_str(), 1);
  ::setenv("DEJA_POSTGRES", server.url().c_str(), 1);
  put_own_folder_on_path();
  {
    const auto connection = std::make_unique<postgres::Connection>(postgres::ConnectionOptions{.url = server.url(), .what = "dev"});
    postgres::migrate(*connection, context.load().text("postgres.schema"), false);
  }
  print("export DEJA_KAFKA=" + broker.bootstrap_servers() + "\nexport DEJA_POSTGRES=" + server.url() + "\n");
  flush();

  if (!context.after_dashes.empty()) return wait_for(start(context.after_dashes), signals);
  sigdelset(&signals, SIGCHLD);
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0) {
  }
  return exit_code::clean;
}

}  // namespace

void add_dev(CLI::App& app, Context& context) {
  auto topics = std::make_shared<std::vector<std::string>>();
  auto* command = app.add_subcommand(
      "dev", "An embedded broker and a temporary Postgres with deja's schema, until interrupted or until COMMAND ends: deja dev [-- COMMAND...]");
  command->add_option("--topic", *topics, "A topic to make at once; others come with their first record, with 4 partitions")
      ->type_name("NAME[:PARTITIONS]")
      ->allow_extra_args(false)
      ->take_all();
  command->footer("COMMAND gets DEJA_KAFKA, DEJA_POSTGRES and deja's own folder on PATH; its exit code is passed on.");
  command->callback([&context, topics] { context.run = [&context, topics] { return dev(context, *topics); }; });
}

}  // namespace deja::cli
