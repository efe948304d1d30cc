#!/usr/bin/env bash
# Installs a built tree into a fresh prefix, moves that prefix, and builds a program outside the tree against it: with find_package and with
# pkg-config. Each program must answer --version and --help.
#
# usage: run.sh BUILD_DIR VERSION [COMPILER]
set -euo pipefail

if [[ ${1:-} == --help || $# -lt 2 ]]; then
  sed -n '2,/^[^#]/{s/^# \{0,1\}//;t p;b;:p;p}' "$0"
  [[ ${1:-} == --help ]] && exit 0 || exit 64
fi
build=$1 version=$2 compiler=${3:-c++}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "install: $*" >&2
  exit 1
}
answers() {
  local said
  said=$("$1" --version) || fail "$1 --version ends with $?"
  [[ $said == *"$version"* ]] || fail "$1 --version says: $said"
  said=$("$1" --help) || fail "$1 --help ends with $?"
  [[ -n $said ]] || fail "$1 --help says nothing"
}

cmake --install "$build" --prefix "$work/first" >"$work/install.log" || { cat "$work/install.log"; fail "cmake --install failed"; }
mv "$work/first" "$work/prefix"
prefix=$work/prefix
libdir=$(dirname -- "$(find "$prefix" -name 'libdeja.*' -print -quit)")
for file in include/deja/deja.h share/deja/schemas/0001_foundation.sql share/deja/schemas/roles/{consumer,viewer,operator,admin}.sql share/doc/deja/LICENSE; do
  [[ -s $prefix/$file ]] || fail "$file is not installed"
done
[[ -z $(find "$prefix/include" -type f ! -path '*/include/deja/*.h') ]] || fail "more than the public headers is installed"
if grep -rIl -e "$work/first" -e "$build" "$prefix"; then fail "the files above name the tree they were built in"; fi
if [[ -e $build/bin/deja ]]; then answers "$prefix/bin/deja"; fi

mkdir "$work/by-cmake"
cp "$here/main.cpp" "$here/project/CMakeLists.txt" "$work/by-cmake"
cmake -S "$work/by-cmake" -B "$work/by-cmake/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >"$work/cmake.log" &&
  cmake --build "$work/by-cmake/build" >>"$work/cmake.log" || { cat "$work/cmake.log"; fail "find_package(deja) does not do"; }
answers "$work/by-cmake/build/payments"

export PKG_CONFIG_PATH=$libdir/pkgconfig
[[ $(pkg-config --modversion deja) == "$version" ]] || fail "deja.pc has another version"
mkdir "$work/by-pkg-config"
cp "$here/main.cpp" "$work/by-pkg-config"
# shellcheck disable=SC2046  # the flags are words
(cd "$work/by-pkg-config" && "$compiler" main.cpp $(pkg-config --cflags --libs deja) -o payments) || fail "pkg-config deja does not do"
export LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
answers "$work/by-pkg-config/payments"

echo "install: find_package and pkg-config both do, for deja $version"
