#pragma once

namespace deja {

/// "major.minor.patch" of the library that runs.
const char* version();

}  // namespace deja
