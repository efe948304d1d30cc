#include "core/json_lines.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace deja::core {
namespace {

std::string problem(std::string_view line) {
  try {
    parse_record_line(line);
  } catch (const MalformedLine& error) {
    return error.what();
  }
  return "";
}

TEST(JsonLines, ReadKeyValueAndHeaders) {
  const auto record = parse_record_line(R"({"key": "a", "value": "{\"x\": 1}", "headers": [["n", "v"], ["n", null]], "topic": "t", "partition": 3, "offset": 9})");
  EXPECT_EQ(record.key, "a");
  EXPECT_EQ(record.value, R"({"x": 1})");
  ASSERT_EQ(record.headers.size(), 2u);
  EXPECT_EQ(record.headers[1], (std::pair<std::string, std::optional<std::string>>("n", std::nullopt)));
  EXPECT_EQ(record.topic, "t");
  EXPECT_EQ(record.partition, 3);
  EXPECT_EQ(record.offset, 9);
}

TEST(JsonLines, TakeAMissingFieldForNull) { EXPECT_EQ(parse_record_line("{}"), RecordLine{}); }

TEST(JsonLines, TellAnEmptyValueFromNull) {
  EXPECT_EQ(parse_record_line(R"({"value": ""})").value, "");
  EXPECT_EQ(parse_record_line(R"({"value": null})").value, std::nullopt);
}

TEST(JsonLines, WriteBytesThatAreNoTextAsBase64) {
  EXPECT_EQ(format_record_line({.key = "a", .value = std::string("\x00\xff", 2)}), R"({"key":"a","value":{"base64":"AP8="},"headers":[]})");
}

RC_GTEST_PROP(JsonLines, GiveAnyBytesBackAsTheyWere, (const std::string& key, const std::string& value, const std::string& name)) {
  const RecordLine record{.key = key, .value = value, .headers = {{name, value}, {name, std::nullopt}}, .topic = "t", .partition = 1, .offset = 2};
  RC_ASSERT(parse_record_line(format_record_line(record)) == record);
}

TEST(JsonLines, RefuseWhatIsNoRecordAndSayWhy) {
  EXPECT_EQ(problem("{\"key\":"), "is no JSON (at byte 8)");
  EXPECT_EQ(problem("[]"), "is not a JSON object");
  EXPECT_EQ(problem("{} {}").find("is no JSON"), 0u);
  EXPECT_EQ(problem(R"({"vlaue": "x"})").find("has an unknown field \"vlaue\""), 0u);
  EXPECT_EQ(problem(R"({"value": 1})"), R"(value must be a string, null or {"base64": ".."})");
  EXPECT_EQ(problem(R"({"value": {"base64": "A"}})"), "value is not valid base64");
  EXPECT_EQ(problem(R"({"headers": {"a": "b"}})"), R"(headers must be a list of ["name", value])");
  EXPECT_EQ(problem(R"({"headers": [["a"]]})"), R"(header 1 must be ["name", value])");
  EXPECT_EQ(problem(R"({"headers": [["a", "b"], [null, "b"]]})"), "the name of header 2 must be a string");
  EXPECT_EQ(problem(R"({"partition": -1})"), "partition must be a whole number, 0 or above");
  EXPECT_EQ(problem(R"({"partition": 3000000000})"), "partition must be a whole number, 0 or above");
  EXPECT_EQ(problem(R"({"offset": 18446744073709551615})"), "offset must be a whole number, 0 or above");
  EXPECT_EQ(problem(R"({"offset": 1.5})"), "offset must be a whole number, 0 or above");
}

TEST(JsonLines, RefuseEndlessNestingBeforeItIsBuilt) {
  EXPECT_EQ(problem("{\"value\": " + std::string(1'000'000, '[')), "is nested too deeply");
  EXPECT_EQ(problem(R"({"value": "[[[[[[[[[[[[[[[[[[\""})"), "");
}

}  // namespace
}  // namespace deja::core
