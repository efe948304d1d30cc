#pragma once

#include "core/source_record.h"
#include "kafka/client.h"

// Private to src/kafka.

namespace deja::kafka {

/// Takes the message over; the record's views point into it.
core::SourceRecord to_record(MessagePointer message);

}  // namespace deja::kafka
