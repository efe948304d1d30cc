#!/usr/bin/env bash
# Holds examples/monitoring against promtool and against docs/metrics.md.
#
# usage: tests/monitoring/check.sh
#
# Checks and tests the rules, checks the dashboard's structure, parses each of its queries, and makes sure that every metric
# and label in use exists.
set -euo pipefail

if (($# > 0)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  if [[ $1 == -h || $1 == --help ]]; then exit 0; fi
  exit 64
fi
for program in promtool python3; do
  command -v "$program" > /dev/null || { echo "check.sh: $program is missing; run scripts/setup" >&2; exit 69; }
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd -- "$here/../.."
monitoring=examples/monitoring
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT

promtool check rules "$monitoring/deja.rules.yml" "$monitoring/alerts.yml"
promtool test rules "$monitoring/rules_test.yml"
python3 "$here/check.py" "$scratch/queries.yml"
promtool check rules "$scratch/queries.yml" > "$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
echo "monitoring: all checks passed"
