"""The word that says how to reach a Kafka, and what the client libraries are given."""

from __future__ import annotations

import pytest

from optimizer.errors import InputError
from streams.kafka_access import KafkaAccess, kafka_access


@pytest.fixture
def pem(tmp_path) -> str:
    file = tmp_path / "ca.pem"
    file.write_text("")
    return str(file)


def test_plain_addresses():
    access = kafka_access("10.0.0.5:9092,10.0.0.6:9092", {})
    assert access.confluent() == {"bootstrap.servers": "10.0.0.5:9092,10.0.0.6:9092", "log_level": 0}
    assert access.kafka_python() == {"bootstrap_servers": ["10.0.0.5:9092", "10.0.0.6:9092"]}
    assert kafka_access("plaintext://10.0.0.5:9092", {}) == kafka_access("10.0.0.5:9092", {})


def test_tls_with_a_certificate_of_our_own(pem):
    access = kafka_access(f"ssl://10.0.0.5:9093?ca={pem}&certificate={pem}&key={pem}", {})
    assert access.confluent() == {
        "bootstrap.servers": "10.0.0.5:9093",
        "log_level": 0,
        "security.protocol": "ssl",
        "ssl.ca.location": pem,
        "ssl.certificate.location": pem,
        "ssl.key.location": pem,
    }


def test_sasl_takes_its_password_from_the_environment(pem):
    word = f"sasl_ssl://us%40er@a:1?ca={pem}&mechanism=PLAIN&password_variable=SECRET"
    access = kafka_access(word, {"SECRET": "s3"})
    assert access == KafkaAccess("a:1", "sasl_ssl", ca=pem, mechanism="PLAIN", username="us@er", password="s3")
    sasl = {name: value for name, value in access.confluent().items() if name.startswith("sasl")}
    assert sasl == {"sasl.mechanism": "PLAIN", "sasl.username": "us@er", "sasl.password": "s3"}
    plain = kafka_access("sasl_plaintext://me@a:1", {"QUARTET_KAFKA_PASSWORD": "p"})
    assert plain.kafka_python() == {
        "bootstrap_servers": ["a:1"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "p",
    }


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InputError) as error:
        kafka_access("sasl_ssl://host?ca=/nowhere.pem&mechanism=MD5&colour=red", {})
    said = "\n".join(str(problem) for problem in error.value.problems)
    for part in (
        "must be host:port",
        "no such file",
        "must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
        "colour",
        "user: is missing",
        "set the environment variable QUARTET_KAFKA_PASSWORD",
    ):
        assert part in said


@pytest.mark.parametrize("word", ["", "host", "host:", ":9092", "host:99999", "http://a:1", "a:1,,b:2"])
def test_addresses_that_are_none(word):
    with pytest.raises(InputError):
        kafka_access(word, {})


def test_a_password_in_the_word_is_refused_and_not_repeated():
    with pytest.raises(InputError) as error:
        kafka_access("sasl_ssl://me:hunter2@a:1", {})
    assert all("hunter2" not in str(problem) for problem in error.value.problems)


def test_files_that_are_no_certificates(pem):
    with pytest.raises(InputError, match="cannot be used"):
        kafka_access(f"ssl://a:1?ca={pem}", {}).ssl_context()
