#pragma once

#include <string>

namespace deja {

/// Tells this executable from another build of it: the first 12 hex digits of the SHA-256 of its file.
std::string executable_build();

/// host:pid:random, for people who look at rows and logs.
std::string instance_name();

}  // namespace deja
