"""The starter of a real Kafka says what is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka.sh"
TOOLS = ("bash", "env", "dirname", "mkdir", "sed", "head", "cat", "mktemp", "rm")


@pytest.fixture
def bare_path(tmp_path) -> str:
    """A search path with nothing but the plainest tools."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return str(tools)


def run(path: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], env={"PATH": path, **environment}, capture_output=True, text=True
    )


def fake_java(path: str, version: str) -> None:
    java = Path(path) / "java"
    java.write_text(f"#!/usr/bin/env bash\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)


def test_without_java(bare_path, tmp_path):
    ended = run(bare_path, "up", tmp_path / "kafka")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "java is not found; install Java 17" in ended.stderr


def test_with_an_old_java(bare_path, tmp_path):
    fake_java(bare_path, "11.0.2")
    ended = run(bare_path, "up", tmp_path / "kafka")
    assert ended.returncode == 3
    assert "java is version 11, Kafka 4.1.0 needs 17 or later" in ended.stderr


def test_without_maven(bare_path, tmp_path):
    fake_java(bare_path, "17.0.15")
    ended = run(bare_path, "up", tmp_path / "kafka", KAFKA_JARS=str(tmp_path / "jars"))
    assert ended.returncode == 3
    assert "mvn is not found; install Maven" in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("up",), ("up", "FOLDER", "2"), ("sideways", "FOLDER")])
def test_wrong_arguments(bare_path, tmp_path, arguments):
    given = [tmp_path / "kafka" if argument == "FOLDER" else argument for argument in arguments]
    ended = run(bare_path, *given)
    assert ended.returncode == 2
    assert "scripts/kafka.sh up FOLDER" in ended.stderr


def test_going_down_twice_is_no_fault(bare_path, tmp_path):
    assert run(bare_path, "down", tmp_path / "kafka").returncode == 0


def test_the_containers_are_of_the_same_kafka_and_keep_to_this_machine():
    compose = yaml.safe_load((SCRIPT.parents[1] / "compose.yaml").read_text("utf-8"))
    version = SCRIPT.read_text("utf-8").split("KAFKA_VERSION:-")[1].split("}")[0]
    brokers = [service for name, service in compose["services"].items() if name.startswith("kafka")]
    assert {broker["image"] for broker in brokers} == {f"apache/kafka:{version}"}
    assert len({broker["environment"]["KAFKA_NODE_ID"] for broker in brokers}) == 3
    voters = brokers[0]["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert [voter.split("@")[0] for voter in voters.split(",")] == ["1", "2", "3"]
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for broker in brokers:
        (port,) = broker["ports"]
        assert broker["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(f"OUTSIDE://{port.rsplit(':', 1)[0]}")
