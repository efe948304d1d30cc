#pragma once

// Everything a handler and its program need. Statements whose result a handler wants at once: <deja/query.h>.
// Tests of a handler: <deja/testing.h>.

#include <deja/application.h>
#include <deja/bytes.h>
#include <deja/errors.h>
#include <deja/event.h>
#include <deja/handler.h>
#include <deja/idempotency.h>
#include <deja/record.h>
#include <deja/runtime.h>
#include <deja/settings.h>
#include <deja/topics.h>
#include <deja/transaction.h>
#include <deja/value.h>
#include <deja/version.h>
