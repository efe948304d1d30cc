#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/header_json.h"
#include "core/utf8.h"
#include "runtime/collector.h"

namespace deja {
namespace {

TEST(Utf8, KnowsWellFormedText) {
  for (const auto* good : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF"}) EXPECT_TRUE(core::is_utf8(good)) << good;
  for (const auto* bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "a\xFFz"})
    EXPECT_FALSE(core::is_utf8(bad)) << bad;
  EXPECT_TRUE(core::is_utf8(std::string_view("\0", 1)));
  EXPECT_FALSE(core::is_text(std::string_view("\0", 1))) << "Postgres' text takes no NUL";
}

RC_GTEST_PROP(HeaderJson, ReadsBackTheSameForAnyBytes, (const std::vector<std::tuple<std::string, bool, std::string>>& given)) {
  std::vector<EventHeader> headers;
  for (const auto& [name, present, value] : given) headers.push_back({name, present ? Bytes(value) : Bytes()});
  const auto back = core::parse_headers_json(core::headers_json(headers));
  RC_ASSERT(back.size() == headers.size());
  for (std::size_t i = 0; i < back.size(); ++i) {
    RC_ASSERT(back[i].name == headers[i].name);
    RC_ASSERT(back[i].value == headers[i].value);
  }
}

TEST(HeaderJson, RefusesWhatItDidNotWrite) {
  for (const auto* bad : {"", "{", "[1]", "[[\"a\"]]", "[[\"a\",{\"base64\":\"!\"}]]"})
    EXPECT_THROW(core::parse_headers_json(bad), std::invalid_argument) << bad;
}

TEST(Collector, KnowsStatementsThatWouldEndTheTransaction) {
  for (const auto* sql : {"commit", " COMMIT;", "/* a /* nested */ b */ rollback", "-- x\nend", "Savepoint a", "(; begin", "prepare transaction 'x'", "ABORT"})
    EXPECT_TRUE(runtime::ends_transaction(sql)) << sql;
  for (const auto* sql : {"", "select 'commit'", "insert into commit values (1)", "with a as (select 1) select 1", "-- commit\nselect 1", "/* commit */"})
    EXPECT_FALSE(runtime::ends_transaction(sql)) << sql;
}

}  // namespace
}  // namespace deja
