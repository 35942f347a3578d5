#!/usr/bin/env bash
# A PostgreSQL server on loopback for tests and trial, from the system's packages.
#
#   scripts/postgres.sh up FOLDER [PORT]      starts it on PORT (15432) and prints the URL of its database
#   scripts/postgres.sh down FOLDER           stops it and removes its data
#
# It trusts everyone on the machine: for trial only. Ends with 3 when PostgreSQL is not installed, 2 on wrong arguments,
# 1 when it does not come up. Started by root it runs as the user postgres, or nobody: the server refuses root.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

find_tools() { # folder of initdb and pg_ctl
  local candidate
  for candidate in $(dirname "$(command -v initdb || true)") /usr/lib/postgresql/*/bin; do
    [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] && tools=$candidate
  done
  [ -n "${tools:-}" ] || { echo "error: PostgreSQL is not found; as root, apt-get install postgresql" >&2; exit 3; }
}

as_server() { # runs a command as the user of the server
  if [ "$(id -u)" != 0 ]; then "$@"; else setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"; fi
}

up() { # port
  down
  mkdir -p "$folder"
  [ "$(id -u)" != 0 ] || chown "$user" "$folder"
  as_server "$tools/initdb" --pgdata "$folder/data" --username quartet --auth trust --encoding UTF8 --no-locale \
    > "$folder/initdb.log" 2>&1
  as_server "$tools/pg_ctl" --pgdata "$folder/data" --log "$folder/data/log" --wait --timeout 60 \
    --options "-p $1 -c listen_addresses=127.0.0.1 -c unix_socket_directories='$folder/data'" start > /dev/null \
    || { cat "$folder/data/log" >&2; exit 1; }
  echo "postgresql://quartet@127.0.0.1:$1/postgres"
}

down() {
  [ -d "$folder/data" ] || return 0
  as_server "$tools/pg_ctl" --pgdata "$folder/data" --mode immediate stop > /dev/null 2>&1 || true
  rm -rf "$folder/data"
}

[ $# -ge 2 ] || usage
case $1 in up | down) ;; *) usage ;; esac
find_tools
user=$(getent passwd postgres > /dev/null && echo postgres || echo nobody)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$folder"
case $1 in up) up "${3:-15432}" ;; down) down ;; esac
