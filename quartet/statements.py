"""`quartet statement`: a month's savings statement from a history folder, and its files.

The files of a revision are named `<site>-<month>-r<revision>`; a revision once written is never written again with
other data. The latest one in the folder is what a new statement is compared with.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from hil.closed_loop import simulated_meters
from optimizer.errors import InputError, Problem
from quartet.arguments import parse_month
from quartet.files import write_whole
from quartet.settling import SettledMonth, Simulated, settled_month
from quartet.statement_html import html_of
from quartet.statement_page import page_of
from quartet.statement_pdf import pdf_of
from quartet.statement_words import Lang
from settlement.balance import balance_columns
from settlement.carbon_ledger import activities_of, carbon_columns, ledger
from settlement.certificates import CarbonInventory, read_inventory
from settlement.contract import Contract, SharedContract, read_contract
from settlement.documents import ComparisonDocument
from settlement.recorded_bill import compare, read_recorded_bill
from settlement.savings import VerifiedMonth, columns_needed, verified_month
from settlement.statement import Statement, as_csv, revised, statement_data
from site_configs.site import Site
from site_configs.tariff import billing_month, local_midnight


@dataclass(frozen=True)
class Order:
    """What a statement is asked of."""

    site: Site
    data: Path
    contract: Contract
    contract_text: str
    month: str
    simulate: Simulated | None = None
    inventory: CarbonInventory = field(default_factory=CarbonInventory)
    inventory_text: str = ""
    recorded: Path | None = None


def order_of(
    site: Site,
    data: Path,
    contract: Path,
    month: str,
    simulate: Simulated | None,
    inventory: Path | None = None,
    recorded: Path | None = None,
) -> Order:
    """Reads the files of an order.

    Raises:
        InputError: one of them cannot be read, or does not add up.
    """
    parse_month(month)
    terms = read_contract(contract, site)
    if recorded is not None:
        read_recorded_bill(recorded)
    held = CarbonInventory() if inventory is None else read_inventory(inventory)
    held_text = "" if inventory is None else inventory.read_text(encoding="utf-8")
    return Order(site, data, terms, contract.read_text(encoding="utf-8"), month, simulate, held, held_text, recorded)


def pages_of(statement: Statement, languages: Iterable[Lang]) -> dict[str, bytes]:
    """PDF and HTML of a statement in some languages, by the ending of the file."""
    pages: dict[str, bytes] = {}
    for lang in languages:
        page = page_of(statement, lang)
        pages |= {f"{lang}.pdf": pdf_of(page, statement.data.end), f"{lang}.html": html_of(page)}
    return pages


def settled_for(order: Order) -> SettledMonth:
    """The month with every meter that its statement uses.

    Raises:
        InputError: the month is not the contract's, or a meter lacks.
    """
    site, contract = order.site, order.contract
    first = parse_month(order.month)
    if not contract.holds(first):
        last = contract.end - timedelta(days=1)
        message = f"is outside contract {contract.number}: its months are {contract.start:%Y-%m} to {last:%Y-%m}"
        raise InputError([Problem("command line", "--month", order.month, message)])
    _, end = billing_month(local_midnight(first, site.zone), site.zone)
    optional = (*carbon_columns(site), *_line_columns(order.inventory))
    more = dict.fromkeys(optional, False) | columns_needed(site, contract, end)
    least = contract.data.least_coverage
    return settled_month(site, order.data, order.month, order.simulate, more, least, balance_columns(site))


def verified_for(order: Order, settled: SettledMonth) -> VerifiedMonth:
    """The month's savings; a baseline that cannot be fitted is an InputError."""
    try:
        return verified_month(order.site, order.contract, settled.metered, settled.history, _rules(order, settled))
    except (ValueError, KeyError) as error:
        raise InputError([Problem(settled.history.source, "savings", order.month, str(error))]) from error


def make_statement(order: Order, previous: Statement | None = None, folder: Path | None = None) -> Statement:
    """The statement of a month: the previous revision where nothing changed, else the next; `folder` is where those of
    earlier months lie.

    Raises:
        InputError: the month cannot be settled.
    """
    settled = settled_for(order)
    carried = carried_into(order, folder)
    verified = verified_for(order, settled)
    carbon = ledger(order.site, order.month, activities_of(order.site, settled.metered.frame), order.inventory)
    data = statement_data(
        order.site,
        settled.tariff,
        order.contract,
        settled.metered,
        verified,
        carbon,
        _inputs(order, settled),
        settled.simulated,
        _recorded(order, verified),
        carried,
    )
    return revised(data, previous)


def carried_into(order: Order, folder: Path | None) -> Decimal:
    """What the month before owes (<= 0): of the statement in `folder`, where the contract carries forward.

    Raises:
        InputError: that statement is needed and not there.
    """
    contract, first = order.contract, parse_month(order.month)
    carries = isinstance(contract, SharedContract) and contract.negative_months == "carry_forward"
    if not carries or first == contract.start:
        return Decimal(0)
    before = f"{(first - timedelta(days=1)):%Y-%m}"
    found = None if folder is None else latest(folder, order.site.id, before)
    if found is None:
        where = "no folder" if folder is None else str(folder)
        message = f"the contract carries negative months forward: make the statement of {before} there first"
        raise InputError([Problem("command line", "folder of statements", where, message)])
    return found.data.totals.carried_out


def latest(folder: Path, site: str, month: str) -> Statement | None:
    """The statement of the highest revision in a folder.

    Raises:
        InputError: it cannot be read as a statement.
    """
    pattern = re.compile(rf"{re.escape(site)}-{month}-r(\d+)\.json")
    found = {int(match[1]): path for path in folder.glob("*.json") if (match := pattern.fullmatch(path.name))}
    if not found:
        return None
    path = found[max(found)]
    try:
        return Statement.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        what = str(error).splitlines()[0]
        message = "is no statement of this version: move it away, or restore it"
        raise InputError([Problem(str(path), "file", what, message)]) from error


def stem(statement: Statement) -> str:
    """Name of a revision's files without their endings."""
    return f"{statement.data.site}-{statement.data.month}-r{statement.revision}"


def write_statement(folder: Path, statement: Statement, pages: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Writes a revision: JSON, CSV, and `pages` by ending; each file appears whole or not at all."""
    contents = {
        **pages,
        "csv": as_csv(statement.data, statement).encode("utf-8-sig"),
        "json": (statement.model_dump_json(indent=2) + "\n").encode(),  # last: a revision with it is complete
    }
    paths = []
    for ending, content in contents.items():
        path = folder / f"{stem(statement)}.{ending}"
        write_whole(path, content)
        paths.append(path)
    return tuple(paths)


def _rules(order: Order, settled: SettledMonth) -> pd.DataFrame | None:
    if order.contract.counterfactual != "rules":
        return None
    return simulated_meters(order.site, settled.history, settled.period, "rules")


def _inputs(order: Order, settled: SettledMonth) -> dict[str, str]:
    hashes = {"contract": _sha256(order.contract_text), **settled.input_hashes()}
    if order.inventory_text:
        hashes["carbon inventory"] = _sha256(order.inventory_text)
    if order.recorded is not None:
        hashes["recorded bill"] = hashlib.sha256(order.recorded.read_bytes()).hexdigest()
    return hashes


def _recorded(order: Order, verified: VerifiedMonth) -> ComparisonDocument | None:
    if order.recorded is None:
        return None
    return ComparisonDocument.of(compare(read_recorded_bill(order.recorded), verified.actual, order.month))


def _line_columns(inventory: CarbonInventory) -> tuple[str, ...]:
    return tuple(column for line in inventory.lines for column in line.columns)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
