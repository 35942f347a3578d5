#!/usr/bin/env bash
# Lint, types and all tests, with the tools of the virtual environment FOLDER.
#   scripts/test.sh FOLDER
# Tests marked `kafka` run on a real Apache Kafka, which needs Java 17 and Maven. Where it cannot be started they are left
# out with a clear word; with CI=true that is a failure. The same holds for the MQTT broker, the Modbus client, the browser
# and PostgreSQL, which tests speak to (scripts/test_tools.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:?"usage: scripts/test.sh FOLDER"}/bin
brokers=$(mktemp -d)
trap 'scripts/kafka.sh down "$brokers" || true; rm -rf "$brokers"' EXIT

say() { printf '\n== %s\n' "$1"; }

say "lint"
"$bin/ruff" check .
"$bin/ruff" format --check .

say "types"
"$bin/mypy"

say "real Kafka"
port=$("$bin/python" -c "import random; print(random.randrange(20000, 30000))")
if QUARTET_KAFKA=$(scripts/kafka.sh up "$brokers" 1 "$port"); then
  export QUARTET_KAFKA
  echo "Apache Kafka answers at $QUARTET_KAFKA"
elif [ "${CI:-}" = true ]; then
  echo "error: the tests on a real Kafka must run where CI=true" >&2
  exit 1
else
  unset QUARTET_KAFKA
  echo "No real Kafka: the tests marked kafka are skipped. Everything else runs on the embedded broker."
fi

say "tools of others"
if ! scripts/test_tools.sh; then
  [ "${CI:-}" != true ] || { echo "error: the tests with these tools must run where CI=true" >&2; exit 1; }
  echo "The tests that need them are skipped."
fi

say "tests"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1  # two test processes already: threads of theirs only wait for one another
# A process that dies ends the run: with a new one in its place, the runner waits for ever for the rest of its file.
"$bin/pytest" --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --quiet
