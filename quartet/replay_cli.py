"""The command `quartet replay`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quartet.arguments import data_folder, output_folder, parse_edge, refuse, require_one_place
from quartet.options import DataOption, JsonOption, SchedulerOption, SiteArgument, WorkersOption

if TYPE_CHECKING:
    from hil.replay.replay import Replayed

replay_app = typer.Typer(rich_markup_mode="rich")

CONTROLLERS: tuple[Replayed, ...] = ("engine", "rules", "perfect", "none")


@replay_app.command()
def replay(
    site: SiteArgument,
    first: Annotated[str, typer.Option("--from", metavar="TIME", help="Start; a date is its local midnight.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End; a date is its local midnight.")],
    data: DataOption = None,
    controller: Annotated[
        str,
        typer.Option(
            "--controller",
            metavar="engine|rules|perfect|none",
            help="The engine; simple local control; everything known at once (a bound); stores idle.",
        ),
    ] = "engine",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Leave out none, rules and perfect, which it is held against.")
    ] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Split what was lost by cause: takes three more runs of the engine.")
    ] = False,
    refit: Annotated[
        int, typer.Option("--refit", metavar="DAYS", min=1, max=7, help="Days from one fit of forecasters to the next.")
    ] = 7,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the plant's own parameters and of its minutes.")] = 1,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="Keep finished blocks here: a replay that was stopped goes on."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the measured flows as a history folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay recorded history in closed loop: the engine's own control cycle on a simulated plant.

    At each cycle only what was known then is used: rows before it, forecasts issued before it, cars that have come.
    The same replay gives the same result, on any number of workers.

    Example: [bold]quartet replay jiashan_park --from 2026-08-01 --to 2026-09-01 --runs runs[/bold]
    """
    from hil.replay.case import Terms
    from quartet.replaying import Order, replay_document, run_replays, write_flows
    from quartet.show_replay import show_replay
    from site_configs.history import read_site_history
    from site_configs.loader import load_site

    began = time.perf_counter()
    chosen = next((known for known in CONTROLLERS if known == controller), None)
    if chosen is None:
        refuse("--controller", controller, f"must be one of {', '.join(CONTROLLERS)}")
    require_one_place(workers, scheduler)
    if split and (chosen != "engine" or no_baselines):
        refuse("--split", split, "needs --controller engine and its baselines")
    park = load_site(site)
    start, stop = parse_edge(first, park.zone, "--from"), parse_edge(end, park.zone, "--to")
    order = Order(start, stop, chosen, Terms(refit_days=refit, seed=seed), not no_baselines, split)
    folder = None if out is None else output_folder(out)
    kept = None if runs is None else output_folder(runs, "--runs")
    history = read_site_history(park, data_folder(site, data))
    found = run_replays(park, history, order, workers=workers, scheduler=scheduler, folder=kept)
    if folder is not None:
        write_flows(found, folder)
    document = replay_document(found, time.perf_counter() - began)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_replay(document)
