// expect-gcc: incomplete type
// expect-clang: incomplete
#include <deja/deja.h>

auto balance(deja::Transaction& tx) { return tx.query("select 1"); }
