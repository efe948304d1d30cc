# The sanitizers' presets switch -Wmaybe-uninitialized off: with them GCC sees it where it is not, as its manual says.
# One interface target carries the warnings, so that nothing of it reaches a user's own build.
add_library(deja_warnings INTERFACE)
target_compile_options(deja_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
                                               -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlaps in std::string's operator+ that are not there (GCC bug 105651).
  target_compile_options(deja_warnings INTERFACE -Wno-restrict)
endif()
if(CMAKE_UNITY_BUILD)
  # Files that stand in one unit shadow each other's names, and have their private types in what looks like a header.
  target_compile_options(deja_warnings INTERFACE -Wno-shadow -Wno-subobject-linkage)
endif()
if(DEJA_WARNINGS_AS_ERRORS)
  target_compile_options(deja_warnings INTERFACE -Werror)
endif()
