"""How to reach a Kafka: addresses, TLS and SASL, from one word; and the same for each of the client libraries.

    10.0.0.5:9092,10.0.0.6:9092                                       plain
    ssl://10.0.0.5:9093?ca=ca.pem&certificate=me.pem&key=me.key       TLS, with a certificate of our own where asked
    sasl_ssl://quartet@10.0.0.5:9093?ca=ca.pem&mechanism=SCRAM-SHA-512&password_variable=KAFKA_PASSWORD
    sasl_plaintext://...                                              a name and password without TLS

A password is never in the word: it would stand in process lists and logs. The environment variable that holds it does.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from optimizer.errors import InputError, Problem

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
OPTIONS = ("ca", "certificate", "key", "mechanism", "password_variable")
DEFAULT_VARIABLE = "QUARTET_KAFKA_PASSWORD"


@dataclass(frozen=True)
class KafkaAccess:
    """A cluster and what it asks for."""

    servers: str
    """`host:port` of one broker or several, with commas."""
    protocol: str = "plaintext"
    ca: str | None = None
    """PEM file of the authority that signed the brokers' certificates; the system's authorities where it is absent."""
    certificate: str | None = None
    key: str | None = None
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("ssl")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("sasl")

    def confluent(self) -> dict[str, Any]:
        """Settings of `confluent_kafka` clients."""
        files = {"ssl.ca.location": self.ca, "ssl.certificate.location": self.certificate, "ssl.key.location": self.key}
        settings = {"bootstrap.servers": self.servers, "log_level": 0}
        if self.protocol != "plaintext":
            settings["security.protocol"] = self.protocol
        if self.tls:
            settings |= {name: path for name, path in files.items() if path is not None}
        if self.sasl:
            settings |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username}
            settings["sasl.password"] = self.password
        return settings

    def kafka_python(self) -> dict[str, Any]:
        """Settings of `kafka-python` clients."""
        settings: dict[str, Any] = {"bootstrap_servers": self.servers.split(",")}
        if self.protocol != "plaintext":
            settings["security_protocol"] = self.protocol.upper()
        if self.tls:
            settings["ssl_context"] = self.ssl_context()
        if self.sasl:
            settings |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            settings["sasl_plain_password"] = self.password
        return settings

    def ssl_context(self) -> ssl.SSLContext:
        """For clients in Python; raises InputError when the files are no certificates."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InputError([_problem("ca, certificate, key", "the files", f"cannot be used: {error}")]) from error
        return context


def kafka_access(broker: str, environment: Mapping[str, str] | None = None) -> KafkaAccess:
    """What `--broker` says.

    Raises:
        InputError: with all that is wrong with it.
    """
    variables = os.environ if environment is None else environment
    protocol, separator, rest = broker.partition("://")
    if not separator:
        protocol, rest = "plaintext", broker
    place, _, query = rest.partition("?")
    user, _, servers = place.rpartition("@")
    options = dict(parse_qsl(query, keep_blank_values=True))
    problems = [*_wrong(protocol, servers, user, options), *_without_password(protocol, options, variables)]
    if problems:
        raise InputError(problems)
    named = {name: options[name] for name in ("ca", "certificate", "key", "mechanism") if name in options}
    password = variables.get(options.get("password_variable", DEFAULT_VARIABLE), "")
    return KafkaAccess(servers, protocol, username=unquote(user), password=password, **named)


def _wrong(protocol: str, servers: str, user: str, options: Mapping[str, str]) -> list[Problem]:
    problems = []
    if protocol not in PROTOCOLS:
        problems.append(_problem("protocol", protocol, f"must be one of {', '.join(PROTOCOLS)}"))
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            problems.append(_problem("address", server, "must be host:port, e.g. 10.0.0.5:9092"))
    if ":" in user:
        problems.append(_problem("user", "name and password", "give the password by an environment variable"))
    for name, value in options.items():
        if name not in OPTIONS:
            problems.append(_problem(name, value, f"is not known; known are {', '.join(OPTIONS)}"))
        elif name in ("ca", "certificate", "key") and not Path(value).is_file():
            problems.append(_problem(name, value, "no such file"))
        elif name == "mechanism" and value not in MECHANISMS:
            problems.append(_problem(name, value, f"must be one of {', '.join(MECHANISMS)}"))
    if protocol.startswith("sasl") and not user:
        problems.append(_problem("user", "", f"is missing: write {protocol}://NAME@host:port"))
    return problems


def _without_password(protocol: str, options: Mapping[str, str], variables: Mapping[str, str]) -> list[Problem]:
    variable = options.get("password_variable", DEFAULT_VARIABLE)
    if not protocol.startswith("sasl") or variables.get(variable):
        return []
    return [_problem("password", "", f"is missing: set the environment variable {variable}")]


def _problem(field: str, value: str, message: str) -> Problem:
    return Problem("command line", f"--broker: {field}", value, message)
