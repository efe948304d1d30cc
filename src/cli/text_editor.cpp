#include "cli/text_editor.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include <sys/wait.h>
#include <unistd.h>

#include <deja/errors.h>

namespace deja::cli {
namespace {

// $EDITOR may have options, so a shell reads it; the path reaches it unread.
int run_editor(const std::string& editor, const std::string& path) {
  ::setenv("DEJA_EDITED_FILE", path.c_str(), 1);
  return std::system((editor + " \"$DEJA_EDITED_FILE\"").c_str());
}

std::string all_of(std::istream& in) { return {std::istreambuf_iterator<char>(in), {}}; }

}  // namespace

TemporaryFile::TemporaryFile(const std::string& text, const std::string& suffix) {
  const char* folder = std::getenv("TMPDIR");
  path_ = std::string(folder && *folder ? folder : "/tmp") + "/deja-XXXXXX" + suffix;
  const int file = ::mkstemps(path_.data(), static_cast<int>(suffix.size()));
  if (file < 0) throw Stop(exit_code::defect, "cannot make a file in " + path_ + " (TMPDIR)");
  ::close(file);
  std::ofstream out(path_, std::ios::binary);
  out << text;
  if (!out.flush()) throw Stop(exit_code::defect, "cannot write " + path_);
}

TemporaryFile::~TemporaryFile() {
  if (!kept_) ::unlink(path_.c_str());
}

std::unique_ptr<TemporaryFile> edit_text(const std::string& text, const std::string& suffix) {
  const auto from = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  auto editor = from("VISUAL");
  if (editor.empty()) editor = from("EDITOR");
  if (editor.empty() && ::isatty(STDIN_FILENO) == 0) throw Stop(exit_code::usage, "there is no terminal to edit at: give the new content with --value FILE or --headers FILE");
  if (editor.empty()) editor = "vi";
  auto file = std::make_unique<TemporaryFile>(text, suffix);
  const int status = run_editor(editor, file->path());
  if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Stop(exit_code::wrong_data, "the editor (" + editor + ") ended with an error; nothing was changed");
  return file;
}

std::string read_file(const std::string& path) {
  if (path == "-") return all_of(std::cin);
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Stop(exit_code::wrong_data, "cannot read " + path);
  return all_of(in);
}

std::string difference_of(const std::string& before, const std::string& after) {
  const TemporaryFile old_file(before, ".before"), new_file(after, ".after");
  ::setenv("DEJA_FILE_BEFORE", old_file.path().c_str(), 1);
  ::setenv("DEJA_FILE_AFTER", new_file.path().c_str(), 1);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen("diff -u --label before --label after \"$DEJA_FILE_BEFORE\" \"$DEJA_FILE_AFTER\" 2>/dev/null", "r"), ::pclose);
  std::string text;
  std::array<char, 4096> buffer{};
  while (pipe) {
    const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe.get());
    if (n == 0) break;
    text.append(buffer.data(), n);
  }
  return text.empty() ? "--- before\n" + before + "+++ after\n" + after : text;
}

}  // namespace deja::cli
