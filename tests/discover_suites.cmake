# Read by ctest as it starts; see deja_discover_suites. Expects: executable, target, labels, timeout.
if(NOT EXISTS "${executable}")
  add_test(${target}_NOT_BUILT ${executable})  # fails, and says why
  return()
endif()
execute_process(COMMAND "${executable}" --gtest_list_tests OUTPUT_VARIABLE listing RESULT_VARIABLE result TIMEOUT 60)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${executable} --gtest_list_tests failed: ${result}\n${listing}")
endif()
# A suite stands at the beginning of a line and ends with a dot ("Suite." or "Prefix/Suite/0.  # TypeParam = int"); tests are indented.
string(REPLACE ";" "" listing "${listing}")
string(REGEX MATCHALL "(^|\n)[A-Za-z0-9_/]+\\." suites "${listing}")
foreach(suite IN LISTS suites)
  string(STRIP "${suite}" suite)
  string(REGEX REPLACE "\\.$" "" name "${suite}")
  add_test("${labels}.${name}" "${executable}" "--gtest_filter=${suite}*")
  set_tests_properties("${labels}.${name}" PROPERTIES LABELS "${labels}" TIMEOUT ${timeout})
endforeach()
