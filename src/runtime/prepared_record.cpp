#include "runtime/prepared_record.h"

#include "core/lane_map.h"

namespace deja::runtime {

Preparer::Preparer(const detail::HandlerSpec& spec, const KeySettings& settings, bool several_lanes)
    : spec_(spec), several_lanes_(several_lanes), sources_(key_sources(spec, settings)), keys_(sources_.now.scope, spec.name, sources_.now.secret) {
  if (const auto& p = sources_.previous; p && !p->key_free) previous_keys_.emplace(p->scope, p->handler, p->secret);
}

PreparedRecord Preparer::prepare(const core::SourceRecord& source) {
  PreparedRecord prepared;
  prepared.source = &source;
  prepared.ordering = core::ordering_hash(spec_.ordering, source);
  const auto failed = [&](core::Trouble trouble, std::string error) {
    PreparedRecord without_key;
    without_key.source = &source;
    without_key.ordering = prepared.ordering;
    without_key.trouble = trouble;
    without_key.error = std::move(error);
    return without_key;
  };
  const Record record(source.view);
  try {
    if (several_lanes_ && spec_.ordering) (void)spec_.ordering(record);
    if (spec_.key_free && !previous_keys_) return prepared;
    if (!spec_.key_free) {
      auto raw = spec_.key(record);
      if (!raw) return failed(core::Trouble::key_missing, "no idempotency key: the strategy is \"" + spec_.strategy + "\"");
      const auto& tenant_header = sources_.now.tenant_header;
      std::optional<std::string_view> tenant;
      if (!tenant_header.empty()) {
        tenant = record.header(tenant_header);
        if (!tenant || tenant->empty()) return failed(core::Trouble::key_missing, "no tenant: header " + tenant_header + " is missing or empty");
      }
      prepared.raw_key = std::move(*raw);
      prepared.key = keys_.key(tenant, prepared.raw_key);
    }
    if (spec_.fingerprint) {
      const auto fingerprint = spec_.fingerprint(record);
      prepared.digest = core::payload_digest(digests_, fingerprint ? std::optional<std::string_view>(*fingerprint) : std::nullopt);
    } else {
      prepared.digest = core::payload_digest(digests_, source.view.value);
    }
    if (previous_keys_) add_previous_key(prepared, record);
    return prepared;
  } catch (const std::exception& e) {
    return failed(core::Trouble::undecodable, std::string("a key function threw: ") + e.what());
  } catch (...) {
    return failed(core::Trouble::undecodable, "a key function threw something that is no std::exception");
  }
}

// A record without a key by the recipe before was a dead letter under it, and so never had its effect.
void Preparer::add_previous_key(PreparedRecord& prepared, const Record& record) {
  const auto& source = *sources_.previous;
  std::optional<std::string> raw;
  try {
    raw = (*source.extract)(record);
  } catch (...) {
    return;
  }
  if (!raw) return;
  std::optional<std::string_view> tenant;
  if (!source.tenant_header.empty()) {
    tenant = record.header(source.tenant_header);
    if (!tenant || tenant->empty()) return;
  }
  const auto key = previous_keys_->key(tenant, *raw);
  if (key != prepared.key) prepared.previous_key = key;
}

void PreparedRecord::known_as(const postgres::ParkedRow::Replay::Kept& kept) {
  if (!kept.key && !kept.previous_key) return;
  key = kept.key;
  previous_key = kept.previous_key;
  raw_key = kept.raw_key;
  digest = kept.digest;
  trouble.reset();
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
