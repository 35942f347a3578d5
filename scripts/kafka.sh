#!/usr/bin/env bash
# Apache Kafka (KRaft, no containers) on loopback, for tests and trial. Java 17 or later and Maven are needed.
#
#   scripts/kafka.sh up FOLDER [1|3] [PORT]      starts one broker or three from PORT (19092) on; prints host:port
#   scripts/kafka.sh down FOLDER                 stops them and removes their data
#   scripts/kafka.sh restart FOLDER [NODE]       kills broker NODE (1) without warning and starts it again
#
# Data and logs stand in FOLDER, the jars in .kafka/ of the project (KAFKA_JARS names another place).
# Ends with 3 when Java, Maven or the jars are missing, 2 on wrong arguments, 1 when a broker does not come up.
set -euo pipefail

version=${KAFKA_VERSION:-4.1.0}
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jars=${KAFKA_JARS:-$project/.kafka/jars-$version}
start_seconds=90

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
missing() { echo "error: $1" >&2; exit 3; }

require_java() {
  command -v java >/dev/null || missing "java is not found; install Java 17 or later (Debian: apt install openjdk-17-jre-headless)"
  local major
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || missing "java is version ${major:-unknown}, Kafka $version needs 17 or later"
}

fetch_jars() {
  [ -e "$jars/complete" ] && return
  command -v mvn >/dev/null || missing "mvn is not found; install Maven (Debian: apt install maven), or set KAFKA_JARS to a folder with the jars of Kafka $version and a file named complete"
  local build
  build=$(mktemp -d)
  cat > "$build/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>quartet</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  mkdir -p "$jars"
  if ! mvn -q -B -f "$build/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2; then
    rm -rf "$build"
    missing "the jars of Kafka $version could not be fetched with Maven; is the network there?"
  fi
  rm -rf "$build"
  touch "$jars/complete"
}

settings() { # node count port voters -> server.properties
  local isr=1
  [ "$2" -gt 1 ] && isr=2
  cat <<SETTINGS
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$4
listeners=PLAINTEXT://127.0.0.1:$(($3 + $1 - 1)),CONTROLLER://127.0.0.1:$(($3 + 100 + $1))
advertised.listeners=PLAINTEXT://127.0.0.1:$(($3 + $1 - 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/node$1/data
auto.create.topics.enable=false
default.replication.factor=$2
min.insync.replicas=$isr
offsets.topic.replication.factor=$2
transaction.state.log.replication.factor=$2
transaction.state.log.min.isr=$isr
group.initial.rebalance.delay.ms=0
SETTINGS
}

launch() { # node: starts it in a session of its own, so that it outlives this script and its terminal
  local node=$folder/node$1
  setsid java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*" kafka.Kafka \
    "$node/server.properties" >> "$node/log" 2>&1 < /dev/null &
  echo $! > "$node/pid"
}

wait_for() { # node
  local port end=$((SECONDS + start_seconds))
  port=$(sed -n 's|^advertised.listeners=.*:||p' "$folder/node$1/server.properties")
  until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    if ! kill -0 "$(cat "$folder/node$1/pid")" 2>/dev/null || [ $SECONDS -gt $end ]; then
      echo "error: broker $1 did not open port $port; see $folder/node$1/log" >&2
      return 1
    fi
    sleep 0.3
  done
}

stop_node() { # node signal
  local file=$folder/node$1/pid pid
  [ -e "$file" ] || return 0
  pid=$(cat "$file")
  if tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF "$folder/node$1/server.properties"; then
    kill "-$2" "$pid"
    for _ in $(seq 1 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$file"
}

down() {
  for node in "$folder"/node*; do
    [ -d "$node" ] || continue
    stop_node "${node##*/node}" TERM
    rm -rf "$node"
  done
}

up() { # count port
  require_java
  fetch_jars
  down
  local voters="" i id
  for i in $(seq 1 "$1"); do voters+="${voters:+,}$i@127.0.0.1:$(($2 + 100 + i))"; done
  id=$(java -cp "$jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
  for i in $(seq 1 "$1"); do
    mkdir -p "$folder/node$i"
    settings "$i" "$1" "$2" "$voters" > "$folder/node$i/server.properties"
    java -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$folder/node$i/server.properties" \
      > "$folder/node$i/log" 2>&1
    launch "$i"
  done
  for i in $(seq 1 "$1"); do wait_for "$i" || { down_keeping_logs; exit 1; }; done
  echo "127.0.0.1:$2"
}

down_keeping_logs() { for node in "$folder"/node*; do stop_node "${node##*/node}" TERM; done; }

restart() { # node
  [ -d "$folder/node$1" ] || { echo "error: no broker $1 in $folder" >&2; exit 2; }
  stop_node "$1" KILL
  launch "$1"
  wait_for "$1"
}

[ $# -ge 2 ] || usage
mkdir -p "$2"
folder=$(cd "$2" && pwd)
case $1 in
  up) case ${3:-1} in 1 | 3) up "${3:-1}" "${4:-19092}" ;; *) usage ;; esac ;;
  down) down ;;
  restart) restart "${3:-1}" ;;
  *) usage ;;
esac
