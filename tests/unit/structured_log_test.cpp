#include "ops/log.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace deja {
namespace {

using core::Level;
using nlohmann::json;
using ops::LogFormat;
using ops::StructuredLog;
using namespace std::chrono_literals;

// A pipe whose write end a log gets; what was written can be read at any time without waiting.
class Pipe {
 public:
  Pipe() {
    EXPECT_EQ(pipe(ends_), 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    close_reader();
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int writer() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) close(std::exchange(ends_[0], -1));
  }
  std::string text() const {
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(ends_[0], buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }
  std::vector<std::string> lines() const {
    std::istringstream stream(text());
    std::vector<std::string> all;
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  }

 private:
  int ends_[2] = {-1, -1};
};

class StructuredLogTest : public ::testing::Test {
 protected:
  ops::LogOptions options(LogFormat format, Level level = Level::info) {
    return {.level = level, .format = format, .descriptor = pipe_.writer(), .now = [this] { return now_; }};
  }

  Pipe pipe_;
  std::chrono::system_clock::time_point now_{1'772'368'496'789ms};  // 2026-03-01T12:34:56.789Z
};

TEST_F(StructuredLogTest, ATextLineHasTimeLevelMessageAndFields) {
  StructuredLog log(options(LogFormat::text));
  log.warn("lane stopped",
           {{"topic", "payments"}, {"partition", std::int64_t{3}}, {"seconds", 0.25}, {"clean", false}, {"why", "no link"}});
  EXPECT_EQ(pipe_.text(),
            "2026-03-01T12:34:56.789Z warn lane stopped topic=payments partition=3 seconds=0.25 clean=false why=\"no link\"\n");
}

TEST_F(StructuredLogTest, AJsonLineHasTheSameAsTypedValues) {
  StructuredLog log(options(LogFormat::json));
  log.error("lane stopped", {{"topic", "payments"}, {"partition", std::int64_t{3}}, {"seconds", 0.25}, {"clean", false}});
  EXPECT_EQ(pipe_.text(),
            R"({"time":"2026-03-01T12:34:56.789Z","level":"error","message":"lane stopped","topic":"payments","partition":3,)"
            R"("seconds":0.25,"clean":false})"
            "\n");
}

TEST_F(StructuredLogTest, LinesBelowTheLevelAreNotWritten) {
  StructuredLog log(options(LogFormat::text, Level::warn));
  log.debug("a");
  log.info("b");
  log.write(Level::info, "c", {});
  log.warn("d");
  EXPECT_FALSE(log.enabled(Level::info));
  EXPECT_TRUE(log.enabled(Level::error));
  EXPECT_EQ(pipe_.lines().size(), 1U);
}

TEST_F(StructuredLogTest, TextCannotForgeALineOrSteerATerminal) {
  StructuredLog log(options(LogFormat::text));
  log.info("message\nwith \\ lines",
           {{"a", "x\r\n2026 error forged"}, {"b", "\x1b[2J\xC2\x9B\xE2\x80\xAE"}, {"c", "say \"hi\""}, {"d", ""}});
  EXPECT_EQ(pipe_.text(),
            "2026-03-01T12:34:56.789Z info message\\nwith \\\\ lines a=\"x\\r\\n2026 error forged\" b=\\x1b[2J\\u009b\\u202e"
            " c=\"say \\\"hi\\\"\" d=\"\"\n");
}

TEST_F(StructuredLogTest, BytesThatAreNoUtf8AreReplacedInBothFormats) {
  const std::string bytes = "a\xFF\xC3(\xED\xA0\x80z";
  {
    StructuredLog log(options(LogFormat::json));
    log.info(bytes, {{bytes, bytes}});
  }
  EXPECT_NO_THROW(EXPECT_TRUE(json::parse(pipe_.text()).contains("message")));
  StructuredLog log(options(LogFormat::text));
  log.info("m", {{"v", bytes}});
  EXPECT_TRUE(pipe_.text().ends_with("v=a\xEF\xBF\xBD\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\n"));
}

TEST_F(StructuredLogTest, AFieldCannotReplaceTimeLevelMessageOrAnotherField) {
  StructuredLog log(options(LogFormat::json));
  log.info("m", {{"level", "none"}, {"message", "other"}, {"x", "1"}, {"x", "2"}});
  const auto parsed = json::parse(pipe_.text());
  EXPECT_EQ(parsed["level"], "info");
  EXPECT_EQ(parsed["level_"], "none");
  EXPECT_EQ(parsed["message_"], "other");
  EXPECT_EQ(parsed["x"], "1");
  EXPECT_EQ(parsed["x_"], "2");
}

TEST_F(StructuredLogTest, NumbersThatAreNoneDoNotBreakJson) {
  StructuredLog log(options(LogFormat::json));
  log.info("m", {{"x", std::numeric_limits<double>::quiet_NaN()}, {"y", std::numeric_limits<double>::infinity()}});
  EXPECT_TRUE(json::parse(pipe_.text())["x"].is_null());
}

TEST_F(StructuredLogTest, ALongLineIsCutAndSaysSo) {
  for (const auto format : {LogFormat::text, LogFormat::json}) {
    for (const std::string& unit : {std::string("x"), std::string("\x01"), std::string("\xE2\x82\xAC"), std::string("\"")}) {
      std::string huge;
      while (huge.size() < 20'000) huge += unit;
      StructuredLog log(options(format));
      log.info("m", {{"a", huge}, {"b", huge}, {huge, "c"}});
      log.info(huge);
      for (const auto& line : pipe_.lines()) {
        EXPECT_LT(line.size(), StructuredLog::max_line_bytes);
        EXPECT_NE(line.find("truncated"), std::string::npos);
        if (format == LogFormat::json) {
          EXPECT_NO_THROW(EXPECT_EQ(json::parse(line)["truncated"], true));
        }
      }
    }
  }
}

TEST_F(StructuredLogTest, RepeatsBeyondTheBoundAreSuppressedAndThenSummarised) {
  StructuredLog log(options(LogFormat::json));
  for (int i = 0; i < 60; ++i) log.info("again", {{"i", std::int64_t{i}}});
  EXPECT_EQ(pipe_.lines().size(), 50U);
  now_ += 10s;
  log.info("another");
  const auto lines = pipe_.lines();
  ASSERT_EQ(lines.size(), 2U);
  const auto summary = json::parse(lines[0]);
  EXPECT_EQ(summary["message"], "repeated log lines were suppressed");
  EXPECT_EQ(summary["level"], "info");
  EXPECT_EQ(summary["repeated"], "again");
  EXPECT_EQ(summary["count"], 10);
  EXPECT_EQ(json::parse(lines[1])["message"], "another");
}

TEST_F(StructuredLogTest, AMessageIsCountedAnewAfterItsWindow) {
  StructuredLog log(options(LogFormat::text));
  for (int i = 0; i < 50; ++i) log.info("again");
  now_ += 10s;
  for (int i = 0; i < 50; ++i) log.info("again");
  EXPECT_EQ(pipe_.lines().size(), 100U);
}

TEST_F(StructuredLogTest, LevelsAndOtherMessagesAreCountedApart) {
  StructuredLog log(options(LogFormat::text));
  for (int i = 0; i < 60; ++i) log.info("again");
  log.warn("again");
  log.info("another");
  EXPECT_EQ(pipe_.lines().size(), 52U);
}

TEST_F(StructuredLogTest, WhatWasSuppressedIsSummarisedAtTheEnd) {
  {
    StructuredLog log(options(LogFormat::text));
    for (int i = 0; i < 51; ++i) log.error("again");
  }
  const auto lines = pipe_.lines();
  ASSERT_EQ(lines.size(), 51U);
  EXPECT_NE(lines.back().find("error repeated log lines were suppressed repeated=again count=1"), std::string::npos)
      << lines.back();
}

TEST_F(StructuredLogTest, AClockThatIsSetBackDoesNotSilenceAMessage) {
  StructuredLog log(options(LogFormat::text));
  for (int i = 0; i < 50; ++i) log.info("again");
  now_ -= 24h;
  log.info("again");
  EXPECT_EQ(pipe_.lines().size(), 51U);
}

TEST_F(StructuredLogTest, MessagesThatVaryAgainstTheRuleShareABound) {
  StructuredLog log(options(LogFormat::text));
  std::size_t written = 0;
  for (int i = 0; i < 2'000; ++i) {
    log.info("message " + std::to_string(i));
    written += pipe_.lines().size();
  }
  EXPECT_EQ(written, StructuredLog::max_messages + static_cast<std::size_t>(StructuredLog::max_repeats));
}

TEST_F(StructuredLogTest, AReaderThatIsGoneNeitherThrowsNorRaisesSigpipe) {
  StructuredLog log(options(LogFormat::text));
  pipe_.close_reader();
  log.error("nobody reads this");
  log.error("nor this");
}

TEST(StructuredLog, AClosedDescriptorIsIgnored) {
  StructuredLog log({.descriptor = 1'000'000});
  log.error("into the void");
}

TEST_F(StructuredLogTest, LinesNobodyReadsAreDroppedAndCounted) {
  StructuredLog log(options(LogFormat::json));
  const std::string filler(1'000, 'x');
  std::int64_t sent = 0;
  for (; sent < 400; ++sent) log.info("message " + std::to_string(sent), {{"filler", filler}});
  const auto kept = static_cast<std::int64_t>(pipe_.lines().size());
  EXPECT_LT(kept, sent);
  log.info("read again");
  const auto lines = pipe_.lines();
  ASSERT_EQ(lines.size(), 2U);
  const auto note = json::parse(lines[0]);
  EXPECT_EQ(note["message"], "log lines were dropped because nobody read them");
  EXPECT_EQ(note["count"], sent - kept);
}

TEST_F(StructuredLogTest, LinesOfSeveralThreadsDoNotMix) {
  StructuredLog log(options(LogFormat::json));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&log, i] {
      for (int n = 0; n < 40; ++n) log.info("from " + std::to_string(i), {{"n", std::int64_t{n}}});
    });
  }
  for (auto& thread : threads) thread.join();
  const auto lines = pipe_.lines();
  EXPECT_EQ(lines.size(), 160U);
  for (const auto& line : lines) EXPECT_NO_THROW(EXPECT_TRUE(json::parse(line).contains("n")));
}

TEST(StructuredLog, LevelsAndFormatsAreTheWordsOfTheConfiguration) {
  EXPECT_EQ(ops::parse_log_level("debug"), Level::debug);
  EXPECT_EQ(ops::parse_log_level("warn"), Level::warn);
  EXPECT_EQ(ops::parse_log_level("WARN"), std::nullopt);
  EXPECT_EQ(ops::parse_log_format("json"), LogFormat::json);
  EXPECT_EQ(ops::parse_log_format("xml"), std::nullopt);
}

}  // namespace
}  // namespace deja
