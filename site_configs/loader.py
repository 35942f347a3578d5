"""Reads a site file and checks all of it: syntax, schema, and what only shows when the parts are seen together.

Every problem is reported, not only the first. Cross-checks look at whatever parts of the file can be understood, so
that they speak even when the schema already found something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from optimizer.devices import AnyDevice
from optimizer.devices.base import Device
from optimizer.errors import InputError, Problem
from optimizer.services import AnyService
from optimizer.services.base import Service
from site_configs.carbon import factor
from site_configs.problems import problems_of, shown
from site_configs.site import Site, TariffChoice
from site_configs.tariff import shipped_table
from site_configs.tariff_table import TariffTable
from site_configs.yaml_text import parse_yaml

GRID_KIND = "grid_connection"
RESERVED_IDS = ("weather", "market", "meter", "carbon_price")
"""First parts of series names that are not devices, and the name of the site's own price of carbon."""

_DEVICE: TypeAdapter[AnyDevice] = TypeAdapter(AnyDevice)
_SERVICE: TypeAdapter[AnyService] = TypeAdapter(AnyService)


class CheckError(BaseModel):
    """One thing wrong with a site file or its history."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    file: str
    """File or folder as named by the user, or the shipped file."""
    path: str
    """Field, e.g. `devices.3.capacity_kwh (battery1)`, or line."""
    value: str
    """What stands there."""
    message: str
    """What is wrong and what to do."""


class CheckDocument(BaseModel):
    """What `quartet check SITE --json` prints."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    site: str
    """Site as asked for."""
    ok: bool
    """True when there are no errors."""
    errors: tuple[CheckError, ...]
    """Everything that was found."""


def shipped_sites() -> tuple[str, ...]:
    """Names of the parks that come with the package, sorted."""
    names = (entry.name for entry in files("site_configs").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_site(name_or_path: str | Path) -> Site:
    """The site of a shipped name or of a YAML file.

    Raises:
        InputError: every problem of the file, or the name is not known.
    """
    text, file = _read(name_or_path)
    return site_of(parse_yaml(text, file), file)


def site_of(data: Any, file: str) -> Site:
    """The site of a document as a site file holds it; `file` names it in messages.

    Raises:
        InputError: every problem of the document.
    """
    problems = list(_problems(data, file))
    if problems:
        raise InputError(problems)
    return Site.model_validate(data)


def check_site(name_or_path: str | Path) -> CheckDocument:
    """The same checks as `load_site`, as a document."""
    try:
        load_site(name_or_path)
    except InputError as error:
        return CheckDocument(site=str(name_or_path), ok=False, errors=errors_of(error.problems))
    return CheckDocument(site=str(name_or_path), ok=True, errors=())


def errors_of(problems: Iterable[Problem]) -> tuple[CheckError, ...]:
    """Problems as the check's document has them."""
    return tuple(CheckError(file=p.file, path=p.path, value=p.value, message=p.message) for p in problems)


def _read(name_or_path: str | Path) -> tuple[str, str]:
    """Text and name of the file that is meant."""
    path = Path(name_or_path)
    if str(name_or_path) in shipped_sites():
        name = f"{name_or_path}.yaml"
        return files("site_configs").joinpath(name).read_text(encoding="utf-8"), name
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        message = f"no such site: shipped are {', '.join(shipped_sites())}; or give the path of a YAML file"
        raise InputError([Problem(str(name_or_path), "site", str(name_or_path), message)])
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}): give the path of a YAML file"
        raise InputError([Problem(str(path), "whole file", str(path), reason)]) from error
    except UnicodeDecodeError as error:
        reason = "is not UTF-8 text: save it as UTF-8"
        raise InputError([Problem(str(path), f"byte {error.start}", "not UTF-8", reason)]) from error


def _problems(data: Any, file: str) -> Iterator[Problem]:
    if not isinstance(data, dict):
        yield Problem(file, "whole file", shown(data), "must be a mapping of fields such as id, tariff, devices")
        return
    try:
        Site.model_validate(data)
    except ValidationError as error:
        yield from problems_of(error, data, file)
    draft = _draft(data)
    for check in CROSS_CHECKS:
        for path, value, message in check(draft):
            yield Problem(file, path, shown(value), message)


@dataclass(frozen=True)
class _Part:
    """One device that the schema accepts, with its place in the file."""

    place: int
    device: Device


@dataclass(frozen=True)
class _Draft:
    """The parts of a site file that can be understood, whether or not the whole is valid."""

    data: dict[str, Any]
    devices: tuple[tuple[int, dict[str, Any]], ...]
    feeders: tuple[tuple[int, dict[str, Any]], ...]
    parts: tuple[_Part, ...]
    tariff: TariffChoice | None
    services: tuple[tuple[int, Service], ...]
    """Services that the schema accepts, with their places in the file."""

    def section(self, name: str) -> dict[str, Any]:
        section = self.data.get(name)
        return section if isinstance(section, dict) else {}

    @property
    def device_ids(self) -> list[str]:
        return [item["id"] for _, item in self.devices if isinstance(item.get("id"), str)]


Finding = tuple[str, Any, str]
"""Path, value, message."""


def _draft(data: dict[str, Any]) -> _Draft:
    devices = _mappings(data.get("devices"))
    parts = tuple(part for place, item in devices if (part := _part(place, item)) is not None)
    services = tuple(
        (place, service) for place, item in _mappings(data.get("services")) if (service := _service(item)) is not None
    )
    return _Draft(data, devices, _mappings(data.get("feeders")), parts, _tariff_choice(data.get("tariff")), services)


def _mappings(value: Any) -> tuple[tuple[int, dict[str, Any]], ...]:
    items = value if isinstance(value, list) else []
    return tuple((place, item) for place, item in enumerate(items) if isinstance(item, dict))


def _part(place: int, item: dict[str, Any]) -> _Part | None:
    try:
        return _Part(place, _DEVICE.validate_python(item))
    except ValidationError:
        return None


def _service(item: dict[str, Any]) -> Service | None:
    try:
        return _SERVICE.validate_python(item)
    except ValidationError:
        return None


def _tariff_choice(value: Any) -> TariffChoice | None:
    try:
        return TariffChoice.model_validate(value)
    except ValidationError:
        return None


def _unique_ids(draft: _Draft) -> Iterator[Finding]:
    named = [("devices", place, item.get("id")) for place, item in draft.devices]
    named += [("feeders", place, item.get("id")) for place, item in draft.feeders]
    metering = draft.section("metering")
    named += [(f"metering.{s}", n, x.get("id")) for s in ("carved", "tenants") for n, x in _mappings(metering.get(s))]
    named += [("services", place, item.get("id")) for place, item in _mappings(draft.data.get("services"))]
    first: dict[str, str] = {}
    for section, place, name in named:
        path = f"{section}.{place}.id"
        if not isinstance(name, str):
            continue
        if name in first:
            message = f"is used twice (first at {first[name]}): give every device, feeder and service its own id"
            yield path, name, message
        if name in RESERVED_IDS:
            yield path, name, f"is reserved for series of the site ({', '.join(RESERVED_IDS)}): choose another id"
        first.setdefault(name, path)


def _one_grid_connection(draft: _Draft) -> Iterator[Finding]:
    found = [(place, item.get("id")) for place, item in draft.devices if item.get("kind") == GRID_KIND]
    if not found:
        yield "devices", f"{len(draft.devices)} devices", f"a site needs exactly one {GRID_KIND}: add it"
    for place, name in found[1:]:
        yield f"devices.{place} ({name})", GRID_KIND, f"a site needs exactly one {GRID_KIND}: remove this one"


def _feeder_members(draft: _Draft) -> Iterator[Finding]:
    """Members are devices with a power flow, or feeders."""
    no_power = {
        part.device.id for part in draft.parts if all(bus[0] != "power" for bus in part.device.buses().values())
    }
    known = {*draft.device_ids, *_feeder_names(draft)}
    for path, _, member in _feeder_edges(draft):
        if member not in known:
            yield path, member, "is not a device or feeder of this site: correct the id or remove it"
        elif member in no_power:
            yield path, member, "has no power flow, so it cannot stand behind a feeder: remove it"


def _feeder_tree(draft: _Draft) -> Iterator[Finding]:
    """Every device and feeder stands behind one feeder at most, and none behind itself."""
    edges = list(_feeder_edges(draft))
    order = _feeder_names(draft)
    below = {feeder: _all_below(feeder, edges) for feeder in order}
    first: dict[str, tuple[str, str]] = {}
    for path, feeder, member in edges:
        at, other = first.setdefault(member, (path, feeder))
        if at != path and other == feeder:
            yield path, member, "is listed twice: keep one"
        elif at != path:
            yield path, member, f"stands behind two feeders (first at {at}): remove it from one"
        loop = [name for name in order if name in below[feeder] and feeder in below[name]]
        if loop and member == loop[0]:
            yield path, member, f"stands behind itself ({', '.join(loop)} go in a circle): remove it here"


def _feeder_names(draft: _Draft) -> list[str]:
    return [str(feeder.get("id", f"feeders.{place}")) for place, feeder in draft.feeders]


def _feeder_edges(draft: _Draft) -> Iterator[tuple[str, str, str]]:
    """Path, feeder and member of every line of every members list."""
    for (place, feeder), name in zip(draft.feeders, _feeder_names(draft), strict=True):
        members = feeder.get("members")
        for position, member in enumerate(members if isinstance(members, list) else []):
            yield f"feeders.{place}.members.{position} ({name})", name, str(member)


def _all_below(feeder: str, edges: list[tuple[str, str, str]]) -> set[str]:
    """Everything behind a feeder, through feeders too; itself only when they go in a circle."""
    found: set[str] = set()
    new = {feeder}
    while new:
        new = {member for _, name, member in edges if name in new} - found
        found |= new
    return found


def _grouped_chargers(draft: _Draft) -> Iterator[Finding]:
    """Chargers that another device names are devices of the site."""
    known = draft.device_ids
    for part in draft.parts:
        for position, charger in enumerate(getattr(part.device, "chargers", ())):
            if charger not in known:
                path = f"devices.{part.place}.chargers.{position} ({part.device.id})"
                yield path, charger, "is not a device of this site: correct the id or remove it"


def _carriers_are_fed(draft: _Draft) -> Iterator[Finding]:
    """Power comes from the grid; every other carrier needs a device that makes it. A store only gives back."""
    if len(draft.parts) < len(draft.devices):
        return  # a device the schema refused may be the source
    buses = [set(part.device.buses().values()) for part in draft.parts]
    made = {carrier for flows in buses for carrier, way in flows if way == "in" and (carrier, "out") not in flows}
    for part, flows in zip(draft.parts, buses, strict=True):
        for carrier in sorted(carrier for carrier, way in flows if way == "out"):
            if carrier != "power" and carrier not in made:
                message = f"takes {carrier}, but no device produces it: add one that feeds {carrier}"
                yield f"devices.{part.place} ({part.device.id})", carrier, message


def _minimum_below_maximum(draft: _Draft) -> Iterator[Finding]:
    for part in draft.parts:
        values = part.device.model_dump()
        for name, low in values.items():
            high_name = name.replace("min_", "max_", 1)
            high = values.get(high_name)
            if name != high_name and isinstance(low, int | float) and isinstance(high, int | float) and low > high:
                path = f"devices.{part.place}.{name} ({part.device.id})"
                yield path, low, f"must not be above {high_name} = {high}: lower it"


def _tariff_exists(draft: _Draft) -> Iterator[Finding]:
    if draft.tariff is None:
        return
    try:
        table = shipped_table(draft.tariff.area)
    except InputError as error:
        yield from (("tariff.area", problem.value, problem.message) for problem in error.problems)
        return
    yield from _tariff_fits(draft.tariff, table, draft.data.get("currency", "CNY"), draft.section("metering"))


def _tariff_fits(
    choice: TariffChoice, table: TariffTable, currency: Any, metering: dict[str, Any]
) -> Iterator[Finding]:
    if choice.price_class not in table.classes:
        known = ", ".join(table.classes)
        yield "tariff.class", choice.price_class, f"no such class in {choice.area}: known are {known}"
    if currency != table.currency:
        yield "currency", currency, f"prices of {choice.area} are in {table.currency}: use that"
    for place, part in _mappings(metering.get("carved")):
        if part.get("class") not in (None, *table.classes):
            known = ", ".join(table.classes)
            yield f"metering.carved.{place}.class", part["class"], f"no such class in {choice.area}: known are {known}"
    components = {name for row in table.prices for name in row.energy}
    for name in choice.floating or ():
        if name not in components:
            yield "tariff.floating", name, f"no such component: known are {', '.join(sorted(components))}"


def _contract_is_declared(draft: _Draft) -> Iterator[Finding]:
    tariff = draft.section("tariff")
    if tariff.get("demand_mode") == "contract" and tariff.get("contract_demand_kw") is None:
        yield (
            "tariff.contract_demand_kw",
            "nothing",
            "is required when demand_mode is contract: add the declared demand",
        )


def _carbon_factor_exists(draft: _Draft) -> Iterator[Finding]:
    carbon = draft.section("carbon")
    region, year = carbon.get("region"), carbon.get("data_year")
    if carbon.get("kg_per_kwh") is not None:
        return
    if not isinstance(region, str) or not (year is None or isinstance(year, int)):
        return
    try:
        factor(region, year)
    except InputError as error:
        yield from (("carbon", problem.value, problem.message) for problem in error.problems)


def _services_fit(draft: _Draft) -> Iterator[Finding]:
    """What each service finds missing; ids of devices that the schema refused are not held against it."""
    devices = {part.device.id: part.device for part in draft.parts}
    refused = set(draft.device_ids) - set(devices)
    for place, service in draft.services:
        for field, value, message in service.problems(devices):
            if value not in refused:
                yield f"services.{place}.{field} ({service.id})", value, message


def _ocpp_places_are_chargers(draft: _Draft) -> Iterator[Finding]:
    control = draft.section("control")
    chargers = [item.get("id") for _, item in draft.devices if item.get("kind") == "v2g_charger"]
    for path, settings in (("control.places", control), ("control.chargers.places", control.get("chargers"))):
        places = settings.get("places") if isinstance(settings, dict) else None
        for name in places if isinstance(places, dict) else ():
            if name not in chargers:
                yield f"{path}.{name}", name, "is not a charger of this site: correct the id or remove it"


def _carbon_is_priced_once(draft: _Draft) -> Iterator[Finding]:
    """The site's price of carbon covers every fuel: a device with a price of its own would pay it twice."""
    price = draft.section("carbon").get("price_per_kg")
    if not isinstance(price, int | float) or price <= 0:
        return
    for part in draft.parts:
        own = getattr(part.device, "carbon_price_per_kg", 0.0)
        if own > 0:
            path = f"devices.{part.place}.carbon_price_per_kg ({part.device.id})"
            yield path, own, f"carbon.price_per_kg = {price} prices this fuel already: remove one of them"


CROSS_CHECKS: tuple[Callable[[_Draft], Iterator[Finding]], ...] = (
    _unique_ids,
    _one_grid_connection,
    _feeder_members,
    _feeder_tree,
    _grouped_chargers,
    _carriers_are_fed,
    _minimum_below_maximum,
    _tariff_exists,
    _contract_is_declared,
    _carbon_factor_exists,
    _services_fit,
    _carbon_is_priced_once,
    _ocpp_places_are_chargers,
)
