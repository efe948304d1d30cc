#include "ops/metrics_reference.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace deja {
namespace {

TEST(MetricsReference, ThePageInDocsIsTheOneThatTheTablesGive) {
  const std::string path = DEJA_SOURCE_DIR "/docs/metrics.md";
  if (std::getenv("DEJA_UPDATE_DOCS") != nullptr) std::ofstream(path) << ops::metrics_reference();
  std::ifstream file(path);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page == ops::metrics_reference())
      << "docs/metrics.md is out of date: run this test with DEJA_UPDATE_DOCS=1 to write it anew";
}

}  // namespace
}  // namespace deja
