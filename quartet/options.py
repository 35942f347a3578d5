"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else there.")
]
SiteArgument = Annotated[
    str, typer.Argument(metavar="SITE", help="A shipped site (see [bold]quartet sites[/bold]) or a YAML file.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Processes; one for each core if absent.")
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A Dask cluster, e.g. tcp://127.0.0.1:8786.")
]
ObserveOption = Annotated[
    str | None, typer.Option("--observe", metavar="HOST:PORT", help="Answers at /metrics and /health there.")
]
LogOption = Annotated[bool, typer.Option("--log-json", help="Log as JSON, an object a line, with site and cycle.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="History folder; the shipped sample when SITE is a shipped site."),
]
BrokerOption = Annotated[
    str,
    typer.Option(
        "--broker",
        metavar="HOST:PORT",
        help="Kafka, e.g. 127.0.0.1:9092; docs/streams.md adds TLS, SASL.",
    ),
]
