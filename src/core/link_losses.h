#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace deja::core {

/// Rule R3 for one lane under one owner: a link that is lost twice while handlers ran on the same batch may be a record's doing. Then
/// the batch's records run alone, and one whose run loses it so many times is not run again. Losses count only while the server stays
/// up: a restart or a fail-over is nobody's doing. Nothing here does I/O.
class LinkLosses {
 public:
  /// While the handlers of `records` records ran, of which `front` is the first. `server`: of the link, since when it has been up.
  void lost(std::int64_t front, std::size_t records, const std::string& server) {
    if (server != server_) *this = LinkLosses();
    server_ = server;
    times_ = front == front_ ? times_ + 1 : 1;
    front_ = front;
    if (!alone() && times_ == 2) {
      left_ = records;
      times_ = 0;  // from here on it is alone
    }
  }
  bool alone() const { return left_ > 0; }
  bool dead(std::int64_t front, std::int32_t most) const { return alone() && front == front_ && times_ >= most; }
  void committed(std::size_t records) {
    left_ -= std::min(left_, records);
    front_ = -1;
    times_ = 0;
  }

 private:
  std::string server_;
  std::int64_t front_ = -1;
  std::int32_t times_ = 0;  // in a row, of `front_`
  std::size_t left_ = 0;    // records that run alone
};

}  // namespace deja::core
