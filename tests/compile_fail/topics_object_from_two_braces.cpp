// expect-gcc: no matching function for call to deja::Topics::Topics(<brace-enclosed initializer list>)
// expect-clang: no matching constructor for initialization of const deja::Topics
#include <deja/deja.h>

const deja::Topics both{{"payments", "refunds"}};
