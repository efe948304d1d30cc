#include <array>
#include <vector>

#include <deja/deja.h>

struct Text {
  operator std::string_view() const { return "text"; }
};

void write(deja::Transaction& tx, deja::BatchTransaction& batch, char* buffer) {
  const std::string text = "text";
  const std::string_view view = text;
  const std::optional<std::int64_t> number;
  const std::optional<bool> flag = true;
  const std::optional<std::string_view> maybe = view;
  tx.defer("select $1, $2, $3, $4, $5", "literal", text, view, buffer, Text{});
  tx.defer("select $1, $2, $3, $4", true, std::int8_t{1}, 2u, 3LL);
  tx.defer("select $1, $2", 1.5, 2.5f);
  tx.defer("select $1, $2, $3, $4, $5", nullptr, std::nullopt, number, flag, maybe);
  tx.defer("select $1, $2", deja::bytea(view), deja::Value(7));
  tx.defer("select 1");
  tx.insert("billing.ledger", {{"a", 1}, {"b", "x"}, {"c", nullptr}, {"d", number}, {"e", deja::bytea(text)}, {"f", false}});
  const std::vector<deja::Column> row = {{"a", 1}, {"b", text}};
  tx.insert("ledger", row);
  batch.insert("ledger", std::array<deja::Column, 1>{{{"a", std::size_t{1}}}});
}
