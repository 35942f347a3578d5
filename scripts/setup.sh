#!/usr/bin/env bash
# Makes the virtual environment FOLDER with Quartet and all it needs, at the versions of constraints.txt.
#   scripts/setup.sh FOLDER          PYTHON=/path/to/python chooses the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?"usage: scripts/setup.sh FOLDER"}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then echo "$candidate"; return; fi
  done
  echo "Quartet needs Python 3.11 or newer; found: $(${PYTHON:-python3} --version 2>&1 || true)." >&2
  echo "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
  return 1
}

if ! new_enough "$venv/bin/python"; then
  python=$(find_python)
  echo "Setting up $venv with $("$python" --version 2>&1) ..."
  rm -rf "$venv"
  "$python" -m venv "$venv" || {
    rm -rf "$venv"
    echo "$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  }
fi
echo "Installing the pinned packages (the first time takes a minute or two) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --constraint constraints.txt --editable '.[dev]'
echo "Ready: $venv/bin/quartet --help"
