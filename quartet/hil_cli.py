"""`quartet hil ...`: scenarios of the bench, and the bench behind Kafka and Modbus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quartet.arguments import data_folder, parse_moment, refuse
from quartet.options import BrokerOption, DataOption, JsonOption, SiteArgument

hil_app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Try the engine where nothing can break: scenarios of islands, lost devices, lying meters and failing plans, "
        "each with its pass criteria, on a simulated site.\n\n"
        "Ends with 1 when a scenario fails."
    ),
)

ControllerOption = Annotated[
    str,
    typer.Option("--controller", metavar="NAME", help="engine, or one that is bad on purpose (quartet hil list)."),
]


@hil_app.command("run")
def run_scenarios(
    scenario: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Shipped names (quartet hil list) or YAML files."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All shipped scenarios.")] = False,
    controller: ControllerOption = "engine",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where report.html and report.json go; none if absent.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run scenarios and judge them; ends with 1 when one fails.

    Example: [bold]quartet hil run pv_ramp_zero_export[/bold]
    """
    from quartet.scenarios import run_named
    from quartet.show_scenarios import show_report

    if bool(scenario) == everything:
        refuse("SCENARIO", " ".join(scenario or ()) or "nothing", "give scenarios by name or file, or --all")
    report = run_named(tuple(scenario or ()), controller, out)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        show_report(report, out)
    if not report.passed:
        raise typer.Exit(1)


@hil_app.command("list")
def list_scenarios() -> None:
    """List the shipped scenarios, and the controllers that they are to catch.

    Example: [bold]quartet hil list[/bold]
    """
    from quartet.show_scenarios import show_scenarios

    show_scenarios()


@hil_app.command()
def serve(
    site: SiteArgument,
    broker: BrokerOption,
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="Recorded moment to begin at; without an offset, site's local time."),
    ],
    data: DataOption = None,
    hours: Annotated[float, typer.Option("--hours", min=0.25, max=8760, help="How much of the record to run.")] = 24.0,
    speed: Annotated[
        float, typer.Option("--speed", metavar="TIMES", min=0.1, max=3600, help="Times as fast as the wall clock.")
    ] = 1.0,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Of Modbus TCP; the site file's if absent, 0: any."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws what the plan does not know of the plant.")] = 1,
) -> None:
    """Run a site's simulated plant behind Modbus TCP and Kafka, in real time or some times faster.

    Prints the Modbus address, publishes readings and ticks, and takes setpoints from whoever writes them: an engine and
    a gateway run against it as against a site.

    Example: [bold]quartet hil serve jiashan_park --at 2026-08-26T08:00 --speed 60 --broker 127.0.0.1:9092[/bold]
    """
    from quartet.serving import serve_plant
    from site_configs.loader import load_site

    park = load_site(site)
    serve_plant(park, data_folder(site, data), parse_moment(at, park.zone), broker, hours, speed, port, seed)
