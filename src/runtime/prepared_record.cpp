#include "runtime/prepared_record.h"

#include "core/disposition.h"

namespace deja::runtime {

std::optional<std::string> ordering_key(const detail::HandlerSpec& spec, const core::SourceRecord& source) {
  if (spec.ordering) try {
      return spec.ordering(Record(source.view));
    } catch (...) {  // prepare() meets it again
    }
  if (source.view.key) return std::string(*source.view.key);
  return std::nullopt;
}

Preparer::Preparer(const detail::HandlerSpec& spec, const std::string& scope, const std::string& secret, std::string tenant_header, bool several_lanes)
    : spec_(spec), tenant_header_(std::move(tenant_header)), several_lanes_(several_lanes), keys_(scope, spec.name, secret) {}

PreparedRecord Preparer::prepare(const core::SourceRecord& source) {
  PreparedRecord prepared;
  prepared.source = &source;
  const auto failed = [&](std::string_view cause, std::string error) {
    prepared.failed_cause = cause;
    prepared.error = std::move(error);
    return std::move(prepared);
  };
  const Record record(source.view);
  try {
    if (several_lanes_ && spec_.ordering) (void)spec_.ordering(record);
    if (spec_.key_free) return prepared;
    auto raw = spec_.key(record);
    if (!raw) return failed(core::cause::key_missing, "no idempotency key: the strategy is \"" + spec_.strategy + "\"");
    std::optional<std::string_view> tenant;
    if (!tenant_header_.empty()) {
      tenant = record.header(tenant_header_);
      if (!tenant || tenant->empty()) return failed(core::cause::key_missing, "no tenant: header " + tenant_header_ + " is missing or empty");
    }
    prepared.raw_key = std::move(*raw);
    if (spec_.fingerprint) {
      const auto fingerprint = spec_.fingerprint(record);
      prepared.digest = core::payload_digest(digests_, fingerprint ? std::optional<std::string_view>(*fingerprint) : std::nullopt);
    } else {
      prepared.digest = core::payload_digest(digests_, source.view.value);
    }
    prepared.key = keys_.key(tenant, prepared.raw_key);
    return prepared;
  } catch (const std::exception& e) {
    return failed(core::cause::undecodable, std::string("a key function threw: ") + e.what());
  } catch (...) {
    return failed(core::cause::undecodable, "a key function threw something that is no std::exception");
  }
}

RecordArray::RecordArray(const std::vector<const PreparedRecord*>& records) : capacity_(records.size()) {
  records_ = std::allocator<Record>().allocate(capacity_);
  for (const auto* r : records) new (records_ + size_++) Record(r->source->view);
}

RecordArray::~RecordArray() {
  std::destroy_n(records_, size_);
  std::allocator<Record>().deallocate(records_, capacity_);
}

}  // namespace deja::runtime
