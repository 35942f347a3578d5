"""The command `quartet`: each command reads its arguments, calls one function of this room and prints the answer.

Rooms are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from optimizer.errors import InputError, MissingPartError
from quartet.arguments import data_folder, parse_day, parse_moment, refuse
from quartet.forecast_cli import forecast
from quartet.hil_cli import hil_app
from quartet.operator_cli import operator_app
from quartet.options import BrokerOption, DataOption, JsonOption, LogOption, ObserveOption, SiteArgument
from quartet.replay_cli import replay_app
from quartet.settlement_cli import settlement
from quartet.sizing_cli import sizing_app

BAD_INPUT, MISSING_PART, OWN_FAULT, READER_GONE = 2, 3, 70, 141
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
BROKER_WAIT_S = 30.0
"""How long a service waits for a broker that does not answer."""

app = typer.Typer(
    name="quartet",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Runs a park's energy as one system: source, grid, load and storage (源网荷储).

Start with [bold]quartet demo[/bold]: a recorded day through Kafka, forecast, plan, Modbus and a simulated plant.

Exit codes: 0 done; 1 the answer is "no"; 2 bad input; 3 a part is missing; 70 a fault of Quartet; 130 interrupted.""",
)
app.add_typer(forecast)
app.add_typer(operator_app, name="operator")
app.add_typer(hil_app, name="hil")
app.add_typer(settlement)
app.add_typer(sizing_app)
app.add_typer(replay_app)


def main() -> None:
    """Entry point: turns the errors of the house into messages and exit codes."""
    try:
        _run()
    except BrokenPipeError:
        _end_unwritten(READER_GONE)
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except MissingPartError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISSING_PART)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = error.filename or "standard output"
            print(
                f"error: {where} cannot be written ({error.strerror}): make room, or write elsewhere", file=sys.stderr
            )
            _end_unwritten(BAD_INPUT)
        traceback.print_exc()
        print("error: this is a fault of Quartet itself; please report it with the lines above", file=sys.stderr)
        sys.exit(OWN_FAULT)


def _run() -> None:
    """Raises BrokenPipeError when nobody reads standard output any more, for which Typer and Rich end with 1."""
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    finally:
        sys.stdout.flush()


def _end_unwritten(code: int) -> NoReturn:
    """Ends without trying again to write what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


@app.command()
def demo(
    as_json: JsonOption = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where summary.json, report.html and the ledger go.")
    ] = Path("demo-output"),
    day: Annotated[str, typer.Option("--day", metavar="DATE", help="Recorded local day of the sample.")] = "2026-08-26",
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=1, max=96, help="Stop after so many control cycles; the day if absent."),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="HOST:PORT", help="A real Kafka, quiet for this site; embedded if absent."),
    ] = None,
) -> None:
    """Run a recorded day of the shipped park: Kafka, forecast, plan, Modbus, plant, bill.

    Everything is real but the plant: a broker in this process, the engine and the gateway as processes of their own.
    Takes about two minutes and leaves summary.json, report.html and ledger.db.

    Example: [bold]quartet demo --out demo-output[/bold]
    """
    from quartet.demo import run_demo
    from quartet.show import show_summary

    summary = run_demo(out, parse_day(day), cycles, broker)
    if as_json:
        print(summary.model_dump_json(indent=2))
    else:
        show_summary(summary, out)
    if summary.cycles.answered < summary.cycles.count:
        raise typer.Exit(1)


@app.command()
def plan(
    site: SiteArgument,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Start of the first interval: ISO 8601; without an offset, the site's local time.",
        ),
    ],
    data: DataOption = None,
    horizon: Annotated[
        float | None,
        typer.Option("--horizon", metavar="HOURS", min=1, max=72, help="Hours ahead; the site's own if absent."),
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", metavar="MINUTES", help="5, 15, 30 or 60; the site's own if absent.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan once from recorded history: what each device should do from a moment on, and why.

    Only rows before --at are used, with the forecasts made from them and the cars plugged in then.

    Example: [bold]quartet plan jiashan_park --at 2026-08-26T08:00[/bold]
    """
    from quartet.planning import plan_once
    from quartet.show import show_plan
    from site_configs.loader import load_site

    park = load_site(site)
    document = plan_once(park, data_folder(site, data), parse_moment(at, park.zone), horizon, step)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_plan(document, park)


@app.command()
def check(
    site: SiteArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="History folder to look through, too: dirt, days that look off."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a site file: all its errors at once, each with field, value and what to do.

    Ends with 2 when there are errors.

    Example: [bold]quartet check parks/my_park.yaml --data history[/bold]
    """
    from quartet.checking import check_with_data
    from quartet.show import show_check
    from site_configs.loader import check_site

    document = check_site(site) if data is None else check_with_data(site, data)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_check(document)
    if not document.ok:
        raise typer.Exit(BAD_INPUT)


@app.command()
def run(
    sites: Annotated[
        list[str],
        typer.Argument(metavar="SITE...", help="Shipped sites (see [bold]quartet sites[/bold]) or YAML files."),
    ],
    broker: BrokerOption,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="History folder; of several sites the folder of theirs, by id.",
        ),
    ] = None,
    ledger: Annotated[
        str,
        typer.Option(
            "--ledger", metavar="FILE|URL", help="Made if it is not there; a file, or postgresql://user@host/database."
        ),
    ] = "ledger.db",
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=1, help="Limit of one plan; then a fallback answers.")
    ] = 10.0,
    planners: Annotated[int, typer.Option("--planners", min=1, help="Processes that plan.")] = 1,
    worker: Annotated[
        str, typer.Option("--worker", metavar="NAME", help="Of this worker; each of several has a name of its own.")
    ] = "engine-0",
    observe: ObserveOption = None,
    log_json: LogOption = False,
) -> None:
    """Run the engine of one site or many: readings from Kafka in, a setpoint for every device and interval out.

    Goes on until it is stopped. Killed at any moment and started again with the same ledger, it goes on where it was.
    Several workers with one ledger share the sites, and take over those of one that is gone.

    Example: [bold]quartet run jiashan_park --broker 127.0.0.1:9092 --ledger ledger.db[/bold]
    """
    from quartet.services import histories, log_to_stderr
    from site_configs.loader import load_site
    from streams.admin import wait_for_broker
    from streams.engine_service import EngineSettings, run_engine

    parks = [load_site(site) for site in sites]
    history = histories(sites, parks, data)
    log_to_stderr(log_json)
    wait_for_broker(broker, BROKER_WAIT_S)
    settings = EngineSettings(
        broker,
        ledger,
        history,
        worker_id=worker,
        planners=planners,
        deadline_s=deadline,
        observe=observe,
    )
    run_engine(parks, settings)


@app.command()
def gateway(
    site: SiteArgument,
    broker: BrokerOption,
    host: Annotated[str | None, typer.Option("--host", help="Site controller; the site file's if absent.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Its port; the site file's if absent.")
    ] = None,
    observe: ObserveOption = None,
    log_json: LogOption = False,
) -> None:
    """Run the gateway of a site: setpoints from Kafka to its controller, read-back to Kafka.

    The site file chooses the protocol: Modbus TCP, MQTT, IEC 60870-5-104 or OCPP 2.1.

    Goes on until it is stopped; waits for a controller that is gone.

    Example: [bold]quartet gateway jiashan_park --broker 127.0.0.1:9092[/bold]
    """
    from quartet.services import log_to_stderr, stop_on_signals
    from site_configs.loader import load_site
    from streams.admin import wait_for_broker
    from streams.gateways.gateway import run_gateway

    park = load_site(site)
    log_to_stderr(log_json)
    with stop_on_signals() as stop:
        wait_for_broker(broker, BROKER_WAIT_S)
        run_gateway(park, broker, stop, host=host, port=port, observe=observe)


@app.command()
def ledger(
    where: Annotated[str, typer.Argument(metavar="FILE|URL", help="The engine's ledger.")], as_json: JsonOption = False
) -> None:
    """Check a ledger's hash chain: whether all rows are as they were written.

    Ends with 1 when something was changed, added or taken away.

    Example: [bold]quartet ledger ledger.db[/bold]
    """
    from quartet.checking import check_ledger
    from quartet.show import show_ledger

    document = check_ledger(where)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_ledger(document)
    if not document.ok:
        raise typer.Exit(1)


@app.command()
def broker() -> None:
    """Run a Kafka broker for trying out; it prints its address and keeps nothing.

    Example: [bold]quartet broker[/bold]
    """
    from quartet.services import stop_on_signals
    from streams.broker import EmbeddedBroker

    with stop_on_signals() as stop, EmbeddedBroker() as address:
        print(address, flush=True)
        stop.wait_long()


@app.command()
def sites() -> None:
    """List the shipped sites.

    Example: [bold]quartet sites[/bold]
    """
    from quartet.show import show_sites
    from site_configs.loader import load_site, shipped_sites

    show_sites([load_site(name) for name in shipped_sites()])


@app.command()
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the document; without it, the names are listed.")
    ] = None,
) -> None:
    """Print the JSON schema of a document or message.

    Example: [bold]quartet schema plan[/bold]
    """
    import json

    from quartet.documents import DOCUMENTS

    if name is None:
        print("\n".join(DOCUMENTS))
    elif name in DOCUMENTS:
        print(json.dumps(DOCUMENTS[name].model_json_schema(), indent=2, ensure_ascii=False))
    else:
        refuse("NAME", name, f"must be one of {', '.join(DOCUMENTS)}")


if __name__ == "__main__":
    main()
