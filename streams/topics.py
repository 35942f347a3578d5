"""Every topic in one table: name, what it carries, how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One Kafka topic; all topics are keyed by site and have the same number of partitions."""

    name: str
    carries: str
    retention_days: int
    compacted: bool = False


TELEMETRY = Topic("quartet.telemetry.v1", "readings and ticks of the sites", 7)
SETPOINTS = Topic("quartet.setpoints.v1", "setpoints for the gateways", 35)
ACKS = Topic("quartet.acks.v1", "acknowledgements and read-back from the gateways", 35)
COMMANDS = Topic("quartet.commands.v1", "what operators order", 90)
COMMAND_ANSWERS = Topic("quartet.command-answers.v1", "what the engine says to each order", 90)
DEAD_LETTERS = Topic("quartet.dead-letters.v1", "messages that could not be used, with the reason", 90)

TOPICS = (TELEMETRY, SETPOINTS, ACKS, COMMANDS, COMMAND_ANSWERS, DEAD_LETTERS)
