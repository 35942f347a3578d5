"""A back-test in pictures: what was measured, the median, the bands and the issue times; errors by lead."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from forecasting.backtest import BackTest
from forecasting.day_types import Ints
from forecasting.forecast import Array
from quartet.backtesting import BackTests
from quartet.documents import ForecastBackTest, SeriesBackTest
from quartet.figures import LINES, Legend, png_of, svg_of
from quartet.page import rendered
from quartet.show_forecasts import YARDSTICKS, compared, lead_name, number, shown_rows

MEASURED, MEDIAN, ISSUED = "#212529", "#1d6fb8", "#e76f51"
BANDS = (((0.025, 0.975), "#d9e8f6", "95%"), ((0.1, 0.9), "#a9cdec", "80%"))
YARDSTICKS_ZH = {
    "persistence": "最近值",
    "same_slot_yesterday": "昨日同时刻",
    "same_slot_last_week": "上周同时刻",
    "same_type_days": "同类日均值",
    "peer": "LightGBM",
}


def forecast_html(tests: BackTests, document: ForecastBackTest) -> str:
    """The whole page, for the one series of the back-test."""
    (name, test), (_, found) = next(iter(tests.found.items())), next(iter(document.series.items()))
    course, course_legends = svg_of(draw_course, test, "course", 4.2)
    errors, errors_legends = svg_of(draw_errors, found, "errors", 3.2)
    overall = ("全部 all", found.overall, compared(found.overall))
    return rendered(
        "forecast.html",
        name=name,
        found=found,
        zone=document.zone,
        span=[_local(at, test) for at in (found.first_origin, found.last_origin)],
        pictures=[
            {
                "zh": "预测与实测",
                "en": f"forecast and measured [{unit(name)}]",
                "svg": course,
                "legends": course_legends,
            },
            {"zh": "各提前量误差", "en": f"MAE by lead [{unit(name)}]", "svg": errors, "legends": errors_legends},
        ],
        rows=[*((lead_name(row), row, compared(row)) for row in shown_rows(found)), overall],
        yardsticks=[(YARDSTICKS_ZH[key], name) for key, name in YARDSTICKS.items()],
        number=number,
    )


def forecast_png(tests: BackTests, document: ForecastBackTest) -> bytes:
    """Both pictures below one another, in English."""
    (name, test), (_, found) = next(iter(tests.found.items())), next(iter(document.series.items()))
    rows = (
        (lambda axes, _: draw_course(axes, test), f"{name}: forecast and measured, {document.zone}", 1.5),
        (lambda axes, _: draw_errors(axes, found), "mean absolute error by lead", 1.0),
    )
    return png_of(rows, None, "forecast", height=8)


def unit(name: str) -> str:
    """The unit in the name of a series, as people write it."""
    from site_configs.recorded.columns import unit_of

    return unit_of(name).meaning.rpartition("[")[2].rstrip("]")


def draw_course(axes: Axes, test: BackTest) -> list[Legend]:
    """Measured values, and of each forecast what held until the next one; later leads of the median faint."""
    until = _in_force(test)
    bands = [band for band in BANDS if all(level in test.quantiles for level in band[0])]
    for row, origin in enumerate(test.origins):
        times = _times(origin + np.arange(test.actual.shape[1]), test)
        held = slice(0, int(until[row]))
        for (low, high), colour, _ in bands:
            low_path, high_path = (test.quantiles[level][row, held] for level in (low, high))
            axes.fill_between(times[held], low_path, high_path, color=colour, linewidth=0)
        axes.plot(times, test.median[row], color=MEDIAN, linewidth=0.5, alpha=0.35)
        axes.plot(times[held], test.median[row, held], color=MEDIAN, linewidth=1.3)
    steps, values = _measured(test)
    axes.plot(_times(steps, test), values, color=MEASURED, linewidth=0.9)
    bottom = axes.get_ylim()[0]
    at_bottom = np.full(len(test.origins), bottom)
    axes.plot(_times(test.origins, test), at_bottom, "^", color=ISSUED, markersize=6, clip_on=False, zorder=5)
    axes.set_ylim(bottom=bottom)
    axes.set_ylabel(unit(test.series))
    axes.xaxis_date(test.clock.zone)
    axes.margins(x=0.005)
    _grid(axes)
    return [
        Legend(MEASURED, "实测", "measured", "line"),
        Legend(MEDIAN, "预测中位数", "median", "line"),
        *(Legend(colour, f"{share} 区间", f"{share} band") for _, colour, share in reversed(bands)),
        Legend(ISSUED, "预测发布时刻", "issued", "dots"),
    ]


def draw_errors(axes: Axes, found: SeriesBackTest) -> list[Legend]:
    """MAE by lead of the forecast and of the yardsticks."""
    hours = [row.lead_minutes / 60 for row in found.by_lead]
    legends = [Legend(MEDIAN, "预测", "forecast", "line")]
    for (key, name), colour in zip(YARDSTICKS.items(), LINES, strict=True):
        errors = [getattr(row.yardsticks, key) for row in found.by_lead]
        if any(error is not None for error in errors):
            axes.plot(hours, _floats(errors), color=colour, linewidth=1.0)
            legends.append(Legend(colour, YARDSTICKS_ZH[key], name, "line"))
    axes.plot(hours, _floats([row.mae for row in found.by_lead]), color=MEDIAN, linewidth=2.2)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, hours[-1])
    axes.xaxis.set_major_formatter("{x:g} h")
    _grid(axes)
    return legends


def _in_force(test: BackTest) -> Ints:
    """(n,) leads of each forecast that held until the next one."""
    count = test.actual.shape[1]
    gaps = np.diff(test.origins, append=test.origins[-1] + count)
    held: Ints = np.minimum(gaps, count)
    return held


def _measured(test: BackTest) -> tuple[Ints, Array]:
    """Every step that any forecast covers, once, with its measured value; NaN between separate stretches."""
    steps = test.origins[:, None] + np.arange(test.actual.shape[1])
    first = np.unique(steps, return_index=True)[1]
    values = pd.Series(test.actual.ravel()[first], index=steps.ravel()[first])
    whole = np.arange(int(steps.min()), int(steps.max()) + 1, dtype=np.int64)
    return whole, np.asarray(values.reindex(whole), dtype=float)


def _times(steps: Ints, test: BackTest) -> Array:
    """(n,) starts of steps as matplotlib counts time: days since 1970 in UTC."""
    return np.asarray(steps * (test.clock.step_minutes / 1440), dtype=float)


def _floats(values: list[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values])


def _local(at: datetime, test: BackTest) -> str:
    return f"{at.astimezone(test.clock.zone):%Y-%m-%d %H:%M}"


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color="#ced4da", linewidth=0.5)
    axes.set_axisbelow(True)
