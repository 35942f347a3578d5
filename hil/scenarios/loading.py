"""Scenarios by name or file, with their site and its record; every problem of a file at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ValidationError

from hil.scenarios.schema import STRICT, Car, Scenario, SeriesName
from optimizer.errors import InputError, Problem
from optimizer.situation import Session
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site, shipped_sites, site_of
from site_configs.problems import problems_of
from site_configs.site import Site
from site_configs.yaml_text import parse_yaml

ROOM = "hil.scenarios"


class Column(BaseModel):
    """One column of a bench site's record."""

    model_config = STRICT
    of: SeriesName
    """Column of the sample."""
    times: float = 1.0


class Columns(BaseModel):
    """A record made of a shipped sample."""

    model_config = STRICT
    sample: str
    columns: dict[SeriesName, Column]


@dataclass(frozen=True)
class Setting:
    """A scenario, ready to run."""

    scenario: Scenario
    site: Site
    """With the scenario's changes."""
    history: History
    """The whole record; nothing of the run's span may be shown to a controller before it has passed."""
    start: datetime
    """UTC."""
    sessions: tuple[Session, ...]
    """Cars of the run as they really come and go."""
    said: Mapping[str, Session]
    """By session: what was announced of cars that leave earlier."""

    @property
    def quarters(self) -> int:
        return -(-self.scenario.minutes // 15)


def shipped_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that come with the package, sorted."""
    names = (entry.name for entry in files(ROOM).joinpath("shipped").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_setting(name_or_path: str) -> Setting:
    """The scenario of a shipped name or of a YAML file, with its site.

    Raises:
        InputError: every problem of the file, or the name is not known; a site or record that does not serve.
    """
    text, file = _read(name_or_path)
    scenario = _validated(parse_yaml(text, file), file)
    site, history = _place(scenario, Path(file).parent)
    site = _changed(site, scenario, file)
    problems = list(_unknown_names(scenario, site, file))
    if problems:
        raise InputError(problems)
    start = scenario.start.replace(tzinfo=site.zone).astimezone(UTC)
    cars = None if scenario.cars is None else [_sessions(n, car, start) for n, car in enumerate(scenario.cars)]
    real = history.sessions if cars is None else tuple(came for came, _ in cars)
    said = {} if cars is None else {came.session_id: told for came, told in cars if came != told}
    return Setting(scenario, site, history, start, real, said)


def _read(name_or_path: str) -> tuple[str, str]:
    path = Path(name_or_path)
    if name_or_path in shipped_scenarios():
        name = f"{name_or_path}.yaml"
        return files(ROOM).joinpath("shipped", name).read_text(encoding="utf-8"), name
    if path.suffix not in (".yaml", ".yml"):
        message = f"no such scenario: shipped are {', '.join(shipped_scenarios())}; or give the path of a YAML file"
        raise InputError([Problem(name_or_path, "scenario", name_or_path, message)])
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot be read ({error}): give the path of a YAML file in UTF-8"
        raise InputError([Problem(str(path), "whole file", str(path), message)]) from error


def _validated(data: Any, file: str) -> Scenario:
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise InputError(problems_of(error, data, file)) from error


def _place(scenario: Scenario, beside: Path) -> tuple[Site, History]:
    if scenario.site in _bench_sites():
        return _bench_site(scenario.site)
    if scenario.data is not None:
        return load_site(beside / scenario.site), read_history(beside / scenario.data)
    if scenario.site in shipped_sites():
        return load_site(scenario.site), read_history(sample_folder(scenario.site))
    message = f"needs `data`, or one of the sites {', '.join((*_bench_sites(), *shipped_sites()))}"
    raise InputError([Problem(scenario.id, "site", scenario.site, message)])


def _bench_sites() -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in files(ROOM).joinpath("sites").iterdir() if entry.is_dir()))


def _bench_site(name: str) -> tuple[Site, History]:
    folder = files(ROOM).joinpath("sites", name)
    site = site_of(parse_yaml(folder.joinpath("site.yaml").read_text(encoding="utf-8"), f"{name}/site.yaml"), name)
    text = folder.joinpath("columns.yaml").read_text(encoding="utf-8")
    record = Columns.model_validate(parse_yaml(text, f"{name}/columns.yaml"))
    sample = read_history(sample_folder(record.sample))
    frame = pd.DataFrame({name: sample.frame[column.of] * column.times for name, column in record.columns.items()})
    return site, History(f"{name}/columns.yaml", frame, sample.step_minutes)


def _changed(site: Site, scenario: Scenario, file: str) -> Site:
    if not scenario.devices and not scenario.services:
        return site
    data = site.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for device in data["devices"]:
        device.update(scenario.devices.get(device["id"], {}))
    added = [service.model_dump(mode="json", by_alias=True) for service in scenario.services]
    data["services"] = [*data.get("services", []), *added]
    return site_of(data, file)


def _unknown_names(scenario: Scenario, site: Site, file: str) -> Iterator[Problem]:
    """Devices that the site has not got, wherever the scenario names one."""
    known = {device.id for device in site.devices}
    parts: list[tuple[str, BaseModel]] = [(f"events.{n}", event) for n, event in enumerate(scenario.events)]
    parts += [(f"criteria.{n}", criterion) for n, criterion in enumerate(scenario.criteria)]
    parts += [(f"cars.{n}", car) for n, car in enumerate(scenario.cars or ())]
    named = [(path, field, name) for path, part in parts for field, name in _devices_in(part)]
    named += [("energy_kwh", name, name) for name in scenario.energy_kwh]
    named += [("devices", name, name) for name in scenario.devices]
    for path, field, name in named:
        if name not in known:
            yield Problem(
                file, f"{path}.{field}", name, f"is no device of {site.id}: known are {', '.join(sorted(known))}"
            )


def _devices_in(part: BaseModel) -> Iterator[tuple[str, str]]:
    for field in ("device", "charger"):
        if hasattr(part, field):
            yield field, getattr(part, field)
    for field in ("devices", "loads"):
        yield from ((field, name) for name in getattr(part, field, ()))


def _sessions(number: int, car: Car, start: datetime) -> tuple[Session, Session]:
    """The stay as it really is, and as it was announced."""

    def until(minute: int) -> Session:
        return Session(
            session_id=f"car{number + 1}",
            charger=car.charger,
            arrive=start + timedelta(minutes=car.arrive_minute),
            depart=start + timedelta(minutes=minute),
            energy_needed_kwh=car.needed_kwh,
            energy_on_arrival_kwh=car.on_arrival_kwh,
            capacity_kwh=car.capacity_kwh,
        )

    return until(car.depart_minute if car.leaves_minute is None else car.leaves_minute), until(car.depart_minute)
