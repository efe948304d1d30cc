# shellcheck shell=bash
# Shared by the scripts in this folder: source it, do not run it.

# shellcheck disable=SC2034 # used by those who source this
# Exit codes shared with deja's programs (sysexits.h).
readonly EX_USAGE=64 EX_UNAVAILABLE=69 EX_NOPERM=77

# The folder that holds this checkout.
project_root() {
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P
}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail CODE MESSAGE...
fail() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

wrong_usage() { fail "$EX_USAGE" "$* (see ${0##*/} --help)"; }

# Prints the comment block at the top of the calling script.
print_usage() {
  sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0"
}

have() { command -v "$1" > /dev/null 2>&1; }

# The major version of the Java on PATH or in JAVA_HOME, 0 without one.
java_major() {
  local java version
  java=$(java_program)
  have "$java" || { echo 0; return; }
  # Not every `java` on PATH works: macOS and some version managers install a stub.
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || true
  echo "${version:-0}"
}

java_program() {
  if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/java ]]; then
    echo "$JAVA_HOME/bin/java"
  else
    echo java
  fi
}

readonly KAFKA_VERSION=4.1.1

# Where the jars of the Kafka broker are kept; the folder is there only when it is complete.
kafka_jars() {
  echo "${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/deja/kafka-$KAFKA_VERSION"
}

# Prints the folder of the newest Postgres server's programs; Debian keeps them off PATH.
postgres_bin() {
  local found
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  if [[ ! -x $found ]]; then
    found=$(command -v initdb) || return 1
    found=$(readlink -f -- "$found")
  fi
  dirname -- "$found"
}

# Runs COMMAND with its output kept in LOG; shows the log only when it fails.
# quietly LOG COMMAND...
quietly() {
  local log=$1 code=0
  shift
  "$@" > "$log" 2>&1 < /dev/null || code=$?
  if ((code != 0)); then
    cat -- "$log" >&2
  fi
  return "$code"
}

# Closes every descriptor but the standard three, so that a server does not keep its caller's pipes and locks open.
close_other_descriptors() {
  local path fd
  for path in "/proc/$BASHPID/fd"/*; do
    fd=${path##*/}
    # 255 is how bash keeps hold of its script.
    if ((fd > 2 && fd != 255)); then
      eval "exec $fd>&-"
    fi
  done
}
