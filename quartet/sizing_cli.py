"""The command `quartet size`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from quartet.arguments import data_folder, output_folder, parse_edge, refuse, require_one_place
from quartet.options import DataOption, JsonOption, SchedulerOption, SiteArgument, WorkersOption

sizing_app = typer.Typer(rich_markup_mode="rich")


@sizing_app.command()
def size(
    site: SiteArgument,
    data: DataOption = None,
    candidates: Annotated[
        Path | None,
        typer.Option("--candidates", metavar="FILE", help="What may be built and its cost, YAML; docs/sizing.md."),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Wide ranges for the site's first battery and PV plant, at usual costs.")
    ] = False,
    first: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Start; the first whole day of the history if absent.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End; a year later or the history's end if absent.")
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            "--judge",
            metavar="engine|rules|none",
            help="Who runs the few best in closed loop: the engine, simple local control, or nobody.",
        ),
    ] = "engine",
    beside: Annotated[
        int, typer.Option("--beside", min=0, max=3, help="Other battery sizes that are judged beside the proposed one.")
    ] = 2,
    contract: Annotated[
        Path | None,
        typer.Option("--contract", metavar="FILE", help="An EMC contract: what the project is worth to each party."),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="Keep finished blocks of replays here: a stopped run goes on."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where size.json, size.html and size.png go.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Size battery, PV, contract demand and more: a year model proposes, closed-loop replay judges, cash flow decides.

    The year model knows everything and proves how good its sizes are; the engine's replay says what it would have
    earned with the forecasts of the time. The same answer on any number of workers.

    Example: [bold]quartet size jiashan_park --auto --judge rules --out size-output[/bold]
    """
    from quartet.show_size import show_size
    from quartet.sizing import SizeOrder, run_size, write_size
    from site_configs.loader import load_site

    began = time.perf_counter()
    if auto == (candidates is not None):
        refuse("--candidates", candidates or "nothing", "give either a candidates file or --auto")
    if judge not in ("engine", "rules", "none"):
        refuse("--judge", judge, "must be engine, rules or none")
    require_one_place(workers, scheduler)
    park = load_site(site)
    edges = tuple(
        parse_edge(text, park.zone, name) if text else None for text, name in ((first, "--from"), (end, "--to"))
    )
    order = SizeOrder(park, data_folder(site, data), candidates, edges[0], edges[1], judge, beside, contract)
    folder = None if out is None else output_folder(out)
    kept = None if runs is None else output_folder(runs, "--runs")
    document = run_size(order, workers=workers, scheduler=scheduler, folder=kept, began_s=began)
    if folder is not None:
        write_size(document, folder)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_size(document)
    if document.recommended is None:
        raise typer.Exit(1)
