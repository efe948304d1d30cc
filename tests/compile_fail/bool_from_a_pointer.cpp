// expect-gcc: no matching function for call to deja::Value::Value(const int* const&)
// expect-clang: no matching conversion for functional-style cast from const int *const to deja::Value
#include <deja/deja.h>

void write(deja::Transaction& tx, const int* amount) { tx.defer("update accounts set balance_cents = $1", amount); }
