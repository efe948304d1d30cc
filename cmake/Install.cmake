# Installs the library, its headers, the `deja` program and the files that operators need, as a CMake package and as a pkg-config module.
include(CMakePackageConfigHelpers)

get_target_property(DEJA_LIBRARY_TYPE deja TYPE)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/deja)
set(data_dir ${CMAKE_INSTALL_DATADIR}/deja)

install(TARGETS deja EXPORT deja-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/deja DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT deja-targets NAMESPACE deja:: DESTINATION ${package_dir})

if(TARGET deja_cli)
  # so that a shared libdeja is found beside the program, wherever the prefix is
  file(RELATIVE_PATH lib_from_bin /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(deja_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin}")
  install(TARGETS deja_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(cmake/deja-config.cmake.in ${PROJECT_BINARY_DIR}/deja-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/deja-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/deja-config.cmake ${PROJECT_BINARY_DIR}/deja-config-version.cmake DESTINATION ${package_dir})

# A static library hands its own requirements on to the program's link line; a shared one has them in it.
set(DEJA_PC_REQUIRES "libpqxx")
set(DEJA_PC_LIBS "-ldeja")
if(DEJA_LIBRARY_TYPE STREQUAL STATIC_LIBRARY)
  string(APPEND DEJA_PC_REQUIRES ", rdkafka, libmicrohttpd, tomlplusplus, libcrypto, prometheus-cpp-core")
  string(APPEND DEJA_PC_LIBS " -pthread")
endif()
# Relative to the .pc file: the tree may be installed or moved anywhere.
file(RELATIVE_PATH DEJA_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" DEJA_PC_PREFIX "${DEJA_PC_PREFIX}")
configure_file(cmake/deja.pc.in ${PROJECT_BINARY_DIR}/deja.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/deja.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY schemas DESTINATION ${data_dir} FILES_MATCHING PATTERN "*.sql")
if(EXISTS ${PROJECT_SOURCE_DIR}/examples/monitoring)
  install(DIRECTORY examples/monitoring DESTINATION ${data_dir} PATTERN "*_test.yml" EXCLUDE)
endif()
