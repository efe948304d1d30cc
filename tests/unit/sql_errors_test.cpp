#include "postgres/errors.h"

#include <gtest/gtest.h>
#include <pqxx/pqxx>

#include "postgres/connection.h"
#include "postgres/connection_string.h"
#include "postgres/sql.h"

namespace deja::postgres {
namespace {

// Their constructors differ between the versions of libpqxx.
template <class Error>
Error make(const std::string& text, const char* state) {
  if constexpr (std::is_constructible_v<Error, std::string>) {
    return Error(text);
  } else {
    return Error(text, "", state);
  }
}

TEST(SqlErrors, SayWhatToDoByTheirState) {
  const std::pair<const char*, Failure> table[] = {
      {"40001", Failure::repeat},          {"40P01", Failure::repeat},        {"55P03", Failure::repeat},         {"25006", Failure::standby},
      {"28P01", Failure::login_refused},   {"28000", Failure::login_refused}, {"42501", Failure::no_permission},  {"42P01", Failure::schema_mismatch},
      {"42703", Failure::schema_mismatch}, {"42883", Failure::schema_mismatch}, {"3F000", Failure::schema_mismatch}, {"3D000", Failure::no_database},
      {"53300", Failure::unavailable},     {"53100", Failure::unavailable},   {"57P03", Failure::unavailable},    {"57P01", Failure::lost_connection},
      {"08006", Failure::lost_connection}, {"57014", Failure::own_timeout},   {"25P03", Failure::own_timeout},    {"22001", Failure::data},
      {"23505", Failure::data},            {"42601", Failure::data},          {"P0001", Failure::data},           {"DJ001", Failure::data},
      {"08P01", Failure::data},
  };
  for (const auto& [state, kind] : table) EXPECT_EQ(classify(pqxx::sql_error("ERROR:  x\n", "select 1", state)).kind, kind) << state;
}

TEST(SqlErrors, OfTheRepeatableKindsAreKnownByTheirTypeToo) {
  EXPECT_EQ(classify(make<pqxx::serialization_failure>("ERROR:  x", "40001")).sqlstate, "40001");
  EXPECT_EQ(classify(make<pqxx::deadlock_detected>("ERROR:  x", "40P01")).sqlstate, "40P01");
}

TEST(SqlErrors, AreKnownByTheirTypeWhereTheVersionOfLibpqxxGivesNoState) {
  EXPECT_EQ(classify(pqxx::insufficient_privilege("ERROR:  x")).kind, Failure::no_permission);
  EXPECT_EQ(classify(pqxx::undefined_table("ERROR:  x")).kind, Failure::schema_mismatch);
  EXPECT_EQ(classify(pqxx::disk_full("ERROR:  x")).kind, Failure::unavailable);
  EXPECT_EQ(classify(pqxx::unique_violation("ERROR:  x")).kind, Failure::data);
}

TEST(SqlErrors, WithoutAStateAreALostLinkUnlessTheLinkIsOpen) {
  const pqxx::sql_error error("server closed the connection unexpectedly\n", "select 1", "");
  EXPECT_EQ(classify(error).kind, Failure::lost_connection);
  EXPECT_EQ(classify(error, true).kind, Failure::data);
}

TEST(SqlErrors, InDoubtAreALostLink) { EXPECT_EQ(classify(pqxx::in_doubt_error("commit")).kind, Failure::lost_connection); }

TEST(SqlErrors, OfAWrongNumberOfParametersAreNoLostLink) {
  EXPECT_EQ(classify(pqxx::broken_connection("ERROR:  bind message supplies 2 parameters, but prepared statement \"\" requires 1\n")).kind, Failure::data);
}

TEST(SqlErrors, OfConnectingAreToldByTheirText) {
  const auto kind = [](const char* text) { return classify(pqxx::broken_connection(text)).kind; };
  const std::string at = "connection to server at \"127.0.0.1\", port 5432 failed: ";
  EXPECT_EQ(kind((at + "FATAL:  password authentication failed for user \"u\"\n").c_str()), Failure::login_refused);
  EXPECT_EQ(kind((at + "FATAL:  role \"u\" does not exist\n").c_str()), Failure::login_refused);
  EXPECT_EQ(kind((at + "FATAL:  no pg_hba.conf entry for host \"1.2.3.4\"\n").c_str()), Failure::login_refused);
  EXPECT_EQ(kind((at + "FATAL:  database \"x\" does not exist\n").c_str()), Failure::no_database);
  EXPECT_EQ(kind((at + "FATAL:  sorry, too many clients already\n").c_str()), Failure::unavailable);
  EXPECT_EQ(kind((at + "FATAL:  the database system is starting up\n").c_str()), Failure::unavailable);
  EXPECT_EQ(kind((at + "Connection refused\n\tIs the server running?\n").c_str()), Failure::lost_connection);
}

TEST(SqlErrors, OfTheUrlDoNotQuoteIt) {
  const auto failure = classify(pqxx::broken_connection("invalid percent-encoded token: \"secret%zz\""));
  EXPECT_EQ(failure.kind, Failure::configuration);
  EXPECT_EQ(failure.message.find("secret"), std::string::npos);
}

TEST(SqlErrors, TellOneLineWithoutDetail) {
  EXPECT_EQ(classify(pqxx::sql_error("ERROR:  duplicate key value\nDETAIL:  Key (id)=(42) already exists.\n", "insert", "23505")).message, "duplicate key value");
}

TEST(SqlErrors, OfAStandbyAreNotTakenForAMissingFeature) {
  EXPECT_EQ(classify(pqxx::sql_error("ERROR:  cannot set transaction read-write mode during recovery\n", "begin", "0A000")).kind, Failure::standby);
}

TEST(SqlErrors, StopWithTheExitCodeOfTheirKind) {
  EXPECT_EQ(stop_for({Failure::lost_connection, "", "x"}, false).exit_code(), exit_code::unavailable);
  EXPECT_EQ(stop_for({Failure::lost_connection, "", "x"}, true).exit_code(), exit_code::try_again);
  EXPECT_EQ(stop_for({Failure::login_refused, "", "x"}, false).exit_code(), exit_code::no_permission);
  EXPECT_EQ(stop_for({Failure::no_permission, "", "x"}, true).exit_code(), exit_code::no_permission);
  EXPECT_EQ(stop_for({Failure::schema_mismatch, "", "x"}, true).exit_code(), exit_code::configuration);
  EXPECT_EQ(stop_for({Failure::data, "", "x"}, true).exit_code(), exit_code::defect);
}

TEST(ConnectionString, AddsWhatAUrlDoesNotSet) {
  const auto text = connection_string({.url = "postgresql://u@h/d?connect_timeout=3", .what = "lanes"});
  EXPECT_EQ(text.find("postgresql://u@h/d?connect_timeout=3&"), 0u);
  EXPECT_NE(text.find("&application_name=deja%20lanes"), std::string::npos);
  EXPECT_EQ(text.find("connect_timeout=10"), std::string::npos);
  EXPECT_NE(text.find("&client_encoding=UTF8"), std::string::npos);
}

TEST(ConnectionString, AddsToWordsToo) {
  const auto text = connection_string({.url = "host=h application_name = mine", .what = "lanes"});
  EXPECT_EQ(text.find("host=h application_name = mine "), 0u);
  EXPECT_EQ(text.find("application_name='deja"), std::string::npos);
  EXPECT_NE(text.find("connect_timeout='10'"), std::string::npos);
}

TEST(ConnectionString, ExchangesTheDatabase) {
  EXPECT_EQ(with_database("postgresql://u:p@h:1/a?x=y", "b c"), "postgresql://u:p@h:1/b%20c?x=y");
  EXPECT_EQ(with_database("postgresql://h", "b"), "postgresql://h/b");
  EXPECT_EQ(with_database("host=h dbname=a", "b"), "host=h dbname=a dbname='b'");
}

TEST(Sql, PutsTheQuotedSchemaIn) { EXPECT_EQ(with_schema("a {schema}.b {schema}.c", "x\"y"), "a \"x\"\"y\".b \"x\"\"y\".c"); }

TEST(Sql, GivesBytesBackAsTheyWere) {
  const std::string bytes("\x00\x7f\xff", 3);
  EXPECT_EQ(bytea_text(bytes), "\\x007fff");
  EXPECT_EQ(bytes_of(bytea_text(bytes)), bytes);
  EXPECT_THROW(bytes_of("\\x0"), std::invalid_argument);
  EXPECT_THROW(bytes_of("00"), std::invalid_argument);
}

}  // namespace
}  // namespace deja::postgres
