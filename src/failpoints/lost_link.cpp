#include "failpoints/lost_link.h"

#include <pqxx/pqxx>

#include <string>

namespace deja::failpoints {

void throw_lost_link(const char* step) { throw pqxx::broken_connection(std::string("the failpoint ") + step + " cuts the link"); }

}  // namespace deja::failpoints
