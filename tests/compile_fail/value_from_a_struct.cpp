// expect-gcc: no matching function for call to deja::Value::Value(const Payment&)
// expect-clang: no matching conversion for functional-style cast from const Payment to deja::Value
#include <deja/deja.h>

struct Payment {
  int amount_cents;
};

void write(deja::Transaction& tx, const Payment& payment) { tx.defer("update accounts set balance_cents = $1", payment); }
