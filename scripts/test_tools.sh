#!/usr/bin/env bash
# Installs from Debian's packages what tests speak to and Python does not bring: an MQTT broker, an independent Modbus
# client, a browser and PostgreSQL. Does nothing when they are there; ends with 3 and says so when they cannot be installed.
#   scripts/test_tools.sh
set -euo pipefail
missing=()
for tool in mosquitto mbpoll chromium; do
  PATH="$PATH:/usr/sbin" command -v "$tool" >/dev/null || missing+=("$tool")
done
command -v initdb >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "${missing[*]} cannot be installed: as root, apt-get install ${missing[*]}" >&2
exit 3
