#include "cli/filter.h"

#include <gtest/gtest.h>

#include "cli/instant.h"

// The command's sources are no library.
#include "cli/filter.cpp"
#include "cli/filter_lexer.cpp"
#include "cli/instant.cpp"

namespace deja::cli {
namespace {

constexpr Field fields[] = {{"cause"},           {"handler"},      {"partition", FieldType::number}, {"oldest_age", FieldType::number}, {"dead_at", FieldType::time},
                            {"topics", FieldType::list}, {"record_key", FieldType::bytes}, {"open", FieldType::flag}};

Row row() {
  return {"exhausted", "settle-payment", std::int64_t{3}, 1.5, "2026-11-22T01:00:30.000000Z", std::vector<std::string>{"payments", "refunds"}, Cell(), true};
}

bool fits(std::string_view expression) { return Filter(expression, fields).fits(row()); }

std::string problem(std::string_view expression) {
  try {
    Filter(expression, fields);
  } catch (const FilterError& error) {
    return error.what();
  }
  return "";
}

TEST(Filter, WithoutAnExpressionFitsEveryRow) { EXPECT_TRUE(Filter().fits(row())); }

TEST(Filter, ComparesTextWholeAndByWhatItContains) {
  EXPECT_TRUE(fits("cause=exhausted"));
  EXPECT_TRUE(fits("cause = 'exhausted'"));
  EXPECT_FALSE(fits("cause=exhaust"));
  EXPECT_TRUE(fits("cause~haus"));
  EXPECT_TRUE(fits("handler!=refund"));
  EXPECT_TRUE(fits("cause>\"a\" and cause<f"));
}

TEST(Filter, ComparesNumbersAsNumbers) {
  EXPECT_TRUE(fits("partition=3"));
  EXPECT_TRUE(fits("partition<10"));
  EXPECT_TRUE(fits("partition=3.0"));
  EXPECT_TRUE(fits("oldest_age>=1.5"));
  EXPECT_FALSE(fits("oldest_age>1.5"));
  EXPECT_TRUE(fits("partition>-1"));
}

TEST(Filter, ComparesTimesAsMomentsWhateverTheirZone) {
  EXPECT_TRUE(fits("dead_at>=2026-11-22T01:00Z"));
  EXPECT_FALSE(fits("dead_at>=2026-11-22T01:01Z"));
  EXPECT_TRUE(fits("dead_at=2026-11-22T02:00:30+01:00"));
  EXPECT_TRUE(fits("dead_at>2026-11-22"));
}

TEST(Filter, OfAListIsTrueForOneOfItsElements) {
  EXPECT_TRUE(fits("topics=refunds"));
  EXPECT_FALSE(fits("topics!=refunds"));
  EXPECT_TRUE(fits("topics~pay"));
}

TEST(Filter, OfAFieldThatIsNullFitsOnlyNullAndUnequal) {
  EXPECT_FALSE(fits("record_key=x"));
  EXPECT_TRUE(fits("record_key!=x"));
  EXPECT_TRUE(fits("record_key=null"));
  EXPECT_FALSE(fits("record_key!=null"));
  EXPECT_FALSE(fits("record_key~x"));
}

TEST(Filter, ReadsFlags) { EXPECT_TRUE(fits("open=true")); }

TEST(Filter, BindsAndTighterThanOr) {
  EXPECT_TRUE(fits("cause=exhausted or cause=x and partition=99"));
  EXPECT_FALSE(fits("(cause=exhausted or cause=x) and partition=99"));
  EXPECT_TRUE(fits("cause=x OR (partition=3 AND (handler~settle))"));
}

TEST(Filter, TakesQuotedTextWithEscapes) {
  EXPECT_FALSE(fits(R"(cause="a \"b\" \\ and c")"));
  EXPECT_TRUE(fits(R"(cause!='it\'s')"));
}

TEST(Filter, NamesTheUnknownFieldAndItsPosition) {
  EXPECT_EQ(problem("cause=x and cuse=y").find("--filter, position 13: there is no field \"cuse\""), 0u);
}

TEST(Filter, NamesThePositionOfASyntaxError) {
  EXPECT_EQ(problem("cause="), "--filter, position 7: expected a value after =");
  EXPECT_EQ(problem("cause"), "--filter, position 6: expected = != < <= > >= or ~ after cause");
  EXPECT_EQ(problem("(cause=x"), "--filter, position 9: the parenthesis of position 1 is not closed");
  EXPECT_EQ(problem("cause=x partition=3"), "--filter, position 9: expected and, or, or the end, not \"partition\"");
  EXPECT_EQ(problem("cause='x"), "--filter, position 7: the quoted text has no end");
  EXPECT_EQ(problem("cause!x"), "--filter, position 6: unexpected \"!\"");
  EXPECT_EQ(problem("=x").find("--filter, position 1: expected a field"), 0u);
}

TEST(Filter, RefusesAValueThatTheFieldCannotHave) {
  EXPECT_EQ(problem("partition=abc"), "--filter, position 11: partition is a number, which \"abc\" is not");
  EXPECT_EQ(problem("partition=nan"), "--filter, position 11: partition is a number, which \"nan\" is not");
  EXPECT_NE(problem("dead_at>yesterday"), "");
  EXPECT_NE(problem("open=1"), "");
  EXPECT_NE(problem("record_key<null"), "");
}

TEST(Filter, RefusesEndlessParentheses) { EXPECT_NE(problem(std::string(100'000, '(')).find("too many parentheses"), std::string::npos); }

TEST(Instant, IsReadInAllItsShorterForms) {
  EXPECT_EQ(parse_instant("1970-01-01"), 0);
  EXPECT_EQ(parse_instant("1970-01-01T00:01Z"), 60'000'000);
  EXPECT_EQ(parse_instant("1970-01-01T00:00:00.5Z"), 500'000);
  EXPECT_EQ(parse_instant("1970-01-01T01:00:00.1234567+01:00"), 123'456);
}

TEST(Instant, RefusesWhatIsNoTime) {
  for (const auto* text : {"", "1970", "1970-13-01", "1970-02-30", "1970-01-01T", "1970-01-01T00:00", "1970-01-01T25:00Z", "1970-01-01T00:00Zx", "1970-01-01T00:00:00.Z"}) {
    EXPECT_FALSE(parse_instant(text)) << text;
  }
}

TEST(Instant, IsWrittenInUtcWithMicroseconds) {
  EXPECT_EQ(format_instant(1'500'000), "1970-01-01T00:00:01.500000Z");
  EXPECT_EQ(parse_instant(format_instant(-1)), -1);
}

}  // namespace
}  // namespace deja::cli
