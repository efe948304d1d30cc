#pragma once

#include <string>

namespace deja::cli {

/// The text after a person edited it in $VISUAL, $EDITOR or vi. `suffix`: of the file's name, by which editors know what it is. Throws
/// Stop: 64 where there is no terminal, 65 when the editor ended with an error.
std::string edit_text(const std::string& text, const std::string& suffix);

/// The bytes of a file; - is stdin. Throws Stop (65).
std::string read_file(const std::string& path);

/// What `diff -u` says of the two; where there is no diff, both of them.
std::string difference_of(const std::string& before, const std::string& after);

}  // namespace deja::cli
