"""The commands `quartet forecast ...`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from quartet.arguments import data_folder, output_folder, parse_duration, refuse
from quartet.options import JsonOption

forecast = typer.Typer(
    name="forecast",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Judge the forecasts of recorded series: how good they were, and what they looked like.",
)


class ManyColumns(TyperCommand):
    """Takes several columns after one `--series`: `--series a.demand_kw b.demand_kw`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _one_option_each(args))


def _one_option_each(args: list[str]) -> list[str]:
    """The option repeated before each further column, as the parser wants it."""
    spread: list[str] = []
    taking = False
    for arg in args:
        further = taking and len(spread) > 1 and spread[-2] == "--series" and _is_column(arg)
        spread += ["--series", arg] if further else [arg]
        taking = arg == "--series" or further or (taking and spread[-2] == "--series")
    return spread


def _is_column(arg: str) -> bool:
    """Columns have a dot, sites have none but in the name of their file."""
    return not arg.startswith("-") and "." in arg and "/" not in arg and not arg.endswith((".yaml", ".yml"))


SiteChoice = Annotated[
    str | None, typer.Argument(metavar="SITE", help="A shipped site or a YAML file: zone, calendar, tariff, devices.")
]
DataChoice = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="History folder; the shipped sample when SITE is a shipped site."),
]
FromOption = Annotated[str, typer.Option("--from", metavar="TIME", help="First origin; a date is its local midnight.")]
ToOption = Annotated[str, typer.Option("--to", metavar="TIME", help="All origins lie before it.")]
EveryOption = Annotated[
    str, typer.Option("--every", metavar="LENGTH", help="Between origins: 15min, 7h, 1d ...; days follow local time.")
]
HorizonOption = Annotated[str, typer.Option("--horizon", metavar="LENGTH", help="How far each forecast reaches.")]
ZoneOption = Annotated[
    str | None, typer.Option("--zone", metavar="ZONE", help="IANA zone of the series; the site's if absent.")
]
HolidaysOption = Annotated[
    str | None,
    typer.Option("--holidays", metavar="CN|US|GB|none", help="Calendar of the series; the site's if absent."),
]
ClosuresOption = Annotated[
    Path | None, typer.Option("--closures", metavar="FILE", help="The site's own days off: a date a line.")
]


@forecast.command(cls=ManyColumns)
def backtest(
    series: Annotated[
        list[str], typer.Option("--series", metavar="COLUMN...", help="Columns of the history; one or several.")
    ],
    first: FromOption,
    end: ToOption,
    site: SiteChoice = None,
    data: DataChoice = None,
    every: EveryOption = "24h",
    horizon: HorizonOption = "24h",
    zone: ZoneOption = None,
    holidays: HolidaysOption = None,
    closures: ClosuresOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back-test forecasts: issued again and again from a history that ends at each origin, and scored by lead.

    Models are fitted again every seven days. Beside the scores stand those of simple ways and of another library.

    Example: [bold]quartet forecast backtest jiashan_park --series load.demand_kw --from 2026-09-01 --to 2026-09-08
    [/bold]
    """
    from quartet.backtest_document import backtest_document
    from quartet.backtesting import Window, run_backtests
    from quartet.show_forecasts import show_backtest

    began = time.perf_counter()
    window = Window(first, end, parse_duration(every, "--every"), parse_duration(horizon, "--horizon"))
    place = _place(site, zone, holidays, closures)
    tests = run_backtests(place, _folder(site, data), series, window)
    document = backtest_document(tests, time.perf_counter() - began)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_backtest(document)


@forecast.command()
def plot(
    series: Annotated[str, typer.Option("--series", metavar="COLUMN", help="A column of the history.")],
    first: FromOption,
    end: ToOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where forecast.html and forecast.png go.")],
    site: SiteChoice = None,
    data: DataChoice = None,
    every: EveryOption = "24h",
    horizon: HorizonOption = "24h",
    zone: ZoneOption = None,
    holidays: HolidaysOption = None,
    closures: ClosuresOption = None,
) -> None:
    """Draw a back-test: what was measured, the median, the bands, and when each forecast was issued.

    Leaves forecast.html (Chinese and English, opens offline) and forecast.png.

    Example: [bold]quartet forecast plot jiashan_park --series load.demand_kw --from 2026-09-01 --to 2026-09-08
    --out forecast-output[/bold]
    """
    from quartet.backtest_document import backtest_document
    from quartet.backtesting import Window, run_backtests
    from quartet.forecast_page import forecast_html, forecast_png

    began = time.perf_counter()
    window = Window(first, end, parse_duration(every, "--every"), parse_duration(horizon, "--horizon"))
    place = _place(site, zone, holidays, closures)
    folder = output_folder(out)
    tests = run_backtests(place, _folder(site, data), [series], window)
    document = backtest_document(tests, time.perf_counter() - began)
    (folder / "forecast.html").write_text(forecast_html(tests, document), encoding="utf-8")
    (folder / "forecast.png").write_bytes(forecast_png(tests, document))
    print(f"{folder / 'forecast.html'} and {folder / 'forecast.png'} show the forecasts")


def _place(site: str | None, zone: str | None, holidays: str | None, closures: Path | None) -> Any:
    from quartet.backtesting import place_of
    from site_configs.loader import load_site

    return place_of(load_site(site) if site else None, zone, holidays, closures)


def _folder(site: str | None, data: Path | None) -> Path:
    if site is None and data is None:
        refuse("--data", "nothing", "is required without SITE: give a history folder (docs/data-format.md)")
    return data_folder(site or "", data)
