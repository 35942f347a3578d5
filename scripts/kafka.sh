#!/usr/bin/env bash
# Apache Kafka (KRaft, no containers) on loopback, for tests and trial. Java 17 or later and Maven are needed.
#
#   scripts/kafka.sh up FOLDER [1|3] [PORT] [tls]  starts one broker or three from PORT (19092) on; prints host:port
#   scripts/kafka.sh down FOLDER                   stops them and removes their data
#   scripts/kafka.sh restart FOLDER [NODE]         kills broker NODE (1) without warning and starts it again
#   scripts/kafka.sh kill FOLDER [NODE]            kills it; `start FOLDER [NODE]` brings it back
#
# With tls each broker listens with TLS at PORT + 200 and with TLS and SASL/PLAIN (user quartet, password trial) at
# PORT + 300, beside the plain PORT; FOLDER/tls/ca.pem is the authority, FOLDER/tls/client.pem a client's certificate.
# Data and logs stand in FOLDER, the jars in .kafka/ of the project (KAFKA_JARS names another place).
# KAFKA_HOST names another address than 127.0.0.1.
# Ends with 3 when Java, Maven or the jars are missing, 2 on wrong arguments, 1 when a broker does not come up.
set -euo pipefail

version=${KAFKA_VERSION:-4.1.0}
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jars=${KAFKA_JARS:-$project/.kafka/jars-$version}
start_seconds=90
host=${KAFKA_HOST:-127.0.0.1}

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
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

certificates() { # an authority, a certificate for the brokers and one for a client
  command -v openssl >/dev/null || missing "openssl is not found; TLS for trial needs it"
  rm -rf "$folder/tls" && mkdir -p "$folder/tls"
  (
    cd "$folder/tls"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=quartet-trial -keyout ca.key -out ca.pem
    for name in broker client; do
      openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
      openssl x509 -req -days 30 -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$name.pem" \
        -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
    done
    cat broker.pem broker.key > broker-all.pem
  ) >/dev/null 2>&1 || { echo "error: the certificates could not be made in $folder/tls" >&2; exit 1; }
}

tls_settings() { # node port
  cat <<SETTINGS
ssl.keystore.type=PEM
ssl.keystore.location=$folder/tls/broker-all.pem
ssl.truststore.type=PEM
ssl.truststore.location=$folder/tls/ca.pem
ssl.client.auth=requested
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_quartet="trial";
SETTINGS
}

settings() { # node count port voters tls -> server.properties
  local isr=1 outside
  [ "$2" -gt 1 ] && isr=2
  outside=PLAINTEXT://$host:$(($3 + $1 - 1))
  [ -z "$5" ] || outside+=",SSL://$host:$(($3 + 199 + $1)),SASL_SSL://$host:$(($3 + 299 + $1))"
  cat <<SETTINGS
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$4
listeners=$outside,CONTROLLER://127.0.0.1:$(($3 + 100 + $1))
advertised.listeners=$outside
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
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
  [ -z "$5" ] || tls_settings
}

launch() { # node: starts it in a session of its own, so that it outlives this script and its terminal
  local node=$folder/node$1
  setsid java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*" kafka.Kafka \
    "$node/server.properties" >> "$node/log" 2>&1 < /dev/null &
  echo $! > "$node/pid"
}

wait_for() { # node
  local port end=$((SECONDS + start_seconds))
  port=$(sed -n 's|^advertised.listeners=PLAINTEXT://[^:]*:\([0-9]*\).*|\1|p' "$folder/node$1/server.properties")
  until (exec 3<> "/dev/tcp/$host/$port") 2>/dev/null; do
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
  rm -rf "$folder/tls"
}

up() { # count port tls
  require_java
  fetch_jars
  down
  [ -z "$3" ] || certificates
  local voters="" i id
  for i in $(seq 1 "$1"); do voters+="${voters:+,}$i@127.0.0.1:$(($2 + 100 + i))"; done
  id=$(java -cp "$jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
  for i in $(seq 1 "$1"); do
    mkdir -p "$folder/node$i"
    settings "$i" "$1" "$2" "$voters" "$3" > "$folder/node$i/server.properties"
    java -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$folder/node$i/server.properties" \
      > "$folder/node$i/log" 2>&1
    launch "$i"
  done
  for i in $(seq 1 "$1"); do wait_for "$i" || { down_keeping_logs; exit 1; }; done
  echo "$host:$2"
}

down_keeping_logs() { for node in "$folder"/node*; do stop_node "${node##*/node}" TERM; done; }

require_node() { [ -d "$folder/node$1" ] || { echo "error: no broker $1 in $folder" >&2; exit 2; }; }

start() { # node
  require_node "$1"
  launch "$1"
  wait_for "$1"
}

[ $# -ge 2 ] || usage
mkdir -p "$2"
folder=$(cd "$2" && pwd)
case $1 in
  up)
    case ${5:-} in "" | tls) ;; *) usage ;; esac
    case ${3:-1} in 1 | 3) up "${3:-1}" "${4:-19092}" "${5:-}" ;; *) usage ;; esac
    ;;
  down) down ;;
  kill) require_node "${3:-1}" && stop_node "${3:-1}" KILL ;;
  start) start "${3:-1}" ;;
  restart) require_node "${3:-1}" && stop_node "${3:-1}" KILL && start "${3:-1}" ;;
  *) usage ;;
esac
