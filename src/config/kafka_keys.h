#pragma once

#include <string_view>

namespace deja::config {

/// Why the librdkafka setting `name` may not be given, with the key to use instead where there is one; empty when it is
/// passed on as it is. `for_one_role`: it stood below `kafka.consumer.` or `kafka.producer.`.
std::string_view kafka_refusal(std::string_view name, bool for_one_role);

}  // namespace deja::config
