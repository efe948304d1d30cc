// expect-gcc: use of deleted function deja::Record::Record(const deja::Record&)
// expect-clang: call to deleted constructor of deja::Record
#include <deja/deja.h>

deja::Record keep(const deja::Record& record) {
  return record;
}
