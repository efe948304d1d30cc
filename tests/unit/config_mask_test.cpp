#include "config/mask.h"

#include "config_support.h"

namespace deja::config::testing {
namespace {

TEST(MaskedValues, HidePasswordsOfUrls) {
  EXPECT_EQ(masked("postgres.url", "postgresql://app:secret@db:5432/pay?x=1"), "postgresql://app:****@db:5432/pay?x=1");
  EXPECT_EQ(masked("postgres.url", "postgresql://app:se@c/r:t@db/pay"), "postgresql://app:****@db/pay");
  EXPECT_EQ(masked("postgres.url", "postgresql://app:se?cret@db/pay"), "postgresql://app:****@db/pay");
  EXPECT_EQ(masked("postgres.url", "postgresql://db:5432/pay"), "postgresql://db:5432/pay");
  EXPECT_EQ(masked("postgres.url", "postgresql://db/pay?user=a&password=secret&sslpassword=s2"),
            "postgresql://db/pay?user=a&password=****&sslpassword=****");
  EXPECT_EQ(masked("app.upstream", "https://u:secret@host/"), "https://u:****@host/");
}

TEST(MaskedValues, HidePasswordsOfLibpqWords) {
  EXPECT_EQ(masked("postgres.url", "host=db password=secret dbname=x"), "host=db password=**** dbname=x");
  EXPECT_EQ(masked("postgres.url", "password = 'se cr\\'et' host=db"), "password = **** host=db");
  EXPECT_EQ(masked("postgres.url", "host=db PassWord=se\\ cret"), "host=db PassWord=****");
  EXPECT_EQ(masked("postgres.url", "password='unclosed secret"), "password=****");
  EXPECT_EQ(masked("postgres.url", "password"), "password");
}

TEST(MaskedValues, HideSecretsByTheNamesOfTheirKeys) {
  for (const std::string key :
       {"key.secret", "kafka.sasl.password", "kafka.ssl.key.password", "kafka.ssl.key.pem", "kafka.ssl.keystore.password",
        "kafka.consumer.sasl.password", "kafka.sasl.oauthbearer.client.secret", "kafka.sasl.jaas.config", "app.stripe.api.key",
        "app.Admin.Password", "app.auth_token"}) {
    EXPECT_EQ(masked(key, "visible"), "****") << key;
    EXPECT_EQ(masked(key, ""), "") << key;
  }
  EXPECT_EQ(masked("kafka.ssl.ca.location", "/etc/ca.pem"), "/etc/ca.pem");
}

TEST(MaskedValues, AreMaskedWhereSettingsAreShown) {
  const auto config = load_text(R"(
postgres.url = "postgresql://app:hidden@db/pay"
key.secret = "hidden"
kafka."sasl.password" = "hidden"
app.smtp.password = "hidden"
)");
  for (const auto& entry : config.entries(false)) EXPECT_FALSE(contains(entry.value, "hidden")) << entry.key;
  EXPECT_EQ(entry_of(config, "key.secret").value, "****");
  EXPECT_EQ(entry_of(config, "key.secret").type, "secret");
  EXPECT_EQ(config.text("key.secret"), "hidden");
}

TEST(MaskedValues, AreMaskedInMessages) {
  const auto check = [](const Refused& refusal) {
    EXPECT_EQ(refusal.exit_code, 78);
    EXPECT_FALSE(contains(refusal.message, "hidden")) << refusal.message;
  };
  check(refused_text("kye.secret = \"hidden\""));
  check(refused_text("key.secret = [\"hidden\"]"));
  check(refused_text("key.secret = \"hidden${NOT_SET}\""));
  check(refused_text("kafka.\"sasl.password\" = [[\"hidden\"]]"));
  check(refused_text("kafka.consumer.\"sasl.password\" = \"hidden\\u0000\""));
  check(refused_text("postgres.ulr = \"postgresql://app:hidden@db/pay\""));
  check(refused_text("postgres.url = \"postgresql://app:hidden@db/${NOT_SET}\""));
  check(refused_text("", {"sasl.password=hidden"}));
}

TEST(MaskedValues, StayOnOneLineOfReadableLength) {
  EXPECT_EQ(quoted_for_message("x", "a\nb\tc"), "\"a\\nb?c\"");
  EXPECT_LT(quoted_for_message("x", std::string(10'000, 'a')).size(), 200U);
}

}  // namespace
}  // namespace deja::config::testing
