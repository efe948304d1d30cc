#include "audit/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace deja::audit {

Progress::Progress(bool wanted) : shown_(wanted && ::isatty(STDERR_FILENO) != 0) {}

void Progress::begin(std::string what, std::int64_t total) {
  what_ = std::move(what);
  total_ = std::max<std::int64_t>(total, 1);
  begun_ = std::chrono::steady_clock::now();
  at(0);
}

void Progress::at(std::int64_t done) {
  if (!shown_) return;
  constexpr int width = 30;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  const std::string bar(static_cast<std::size_t>(part * width), '=');
  std::fprintf(stderr, "\r\033[K%.60s [%-*s] %3.0f %%, %lld of %lld, %.0f a second", what_.c_str(), width, bar.c_str(), part * 100,
               static_cast<long long>(done), static_cast<long long>(total_), static_cast<double>(done) / std::max(seconds, 0.001));
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace deja::audit
