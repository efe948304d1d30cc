#include "application/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace deja {

namespace {
sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR2);  // ends the waiting thread
  return set;
}
}  // namespace

Signals::Signals() {
  const auto set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
  if (!thread_.joinable()) return;
  pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
}

void Signals::on_stop(std::function<void()> drain) {
  thread_ = std::thread([this, drain = std::move(drain)] { run(drain); });
}

void Signals::run(const std::function<void()>& drain) {
  const auto set = stop_signals();
  for (bool again = false;; again = true) {
    int signal = 0;
    do {
      sigwait(&set, &signal);
    } while (signal == 0);
    if (signal == SIGUSR2) return;
    if (again) _exit(128 + signal);
    drain();
  }
}

}  // namespace deja
