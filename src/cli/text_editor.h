#pragma once

#include <memory>
#include <string>

namespace deja::cli {

/// A file of its own that nobody else can read, gone at the end unless it is kept: it may have a payload in it.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& text, const std::string& suffix);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

/// The file after a person edited `text` in $VISUAL, $EDITOR or vi. `suffix`: of the file's name, by which editors know what it is. Throws
/// Stop: 64 where there is no terminal, 65 when the editor ended with an error.
std::unique_ptr<TemporaryFile> edit_text(const std::string& text, const std::string& suffix);

/// The bytes of a file; - is stdin. Throws Stop (65).
std::string read_file(const std::string& path);

/// What `diff -u` says of the two; where there is no diff, both of them.
std::string difference_of(const std::string& before, const std::string& after);

}  // namespace deja::cli
