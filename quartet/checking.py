"""`quartet check`: the site file, and what its recorded history says about itself. `quartet ledger`: the hash chain."""

from __future__ import annotations

from pathlib import Path

from optimizer.errors import InputError, Problem
from quartet.documents import ClosureSuggestionDocument, DataCheck, LedgerCheck, SeriesFindingDocument, SiteCheck
from site_configs.history import History, read_site_history
from site_configs.loader import check_site, errors_of, load_site
from site_configs.site import Site
from streams.database import POSTGRES_URL
from streams.ledger import Ledger
from streams.site_forecasts import check_history, lacking_columns


def check_with_data(name: str, folder: Path) -> SiteCheck:
    """All errors of the site file; without any, those of its history, and what is odd in its series."""
    document = SiteCheck(**check_site(name).model_dump())
    if not document.ok:
        return document
    site = load_site(name)
    try:
        history = read_site_history(site, folder)
    except InputError as error:
        return SiteCheck(site=name, ok=False, errors=errors_of(error.problems))
    errors = errors_of(lacking_columns(site, history))
    return SiteCheck(site=name, ok=not errors, errors=errors, data=check_data(site, history))


def check_ledger(where: str) -> LedgerCheck:
    """Whether a ledger is as it was written.

    Raises:
        InputError: it is not there, or is no ledger.
        MissingPartError: it cannot be opened.
    """
    if not where.startswith(POSTGRES_URL) and not Path(where).exists():
        raise InputError([Problem("command line", "FILE|URL", where, "no such file: give the ledger of an engine")])
    with Ledger.written(where) as opened:
        links, head = opened.head()
        changed = tuple(opened.changed())
        return LedgerCheck(
            ledger=opened.place, ok=not changed, links=links, head=head, rows=opened.counts(), changed=changed
        )


def check_data(site: Site, history: History) -> DataCheck:
    """What is odd in the series that forecasts of the site are made from."""
    checked = check_history(site, history.frame, history.end.to_pydatetime())
    return DataCheck(
        repairs=tuple(repair.as_text() for repair in history.repairs),
        findings=tuple(
            SeriesFindingDocument(**{**finding.as_document(), "text": finding.as_text()})
            for found in checked.values()
            for finding in found.findings
            if finding.kind != "gap"  # the reader of the folder has named them
        ),
        closure_suggestions=tuple(
            ClosureSuggestionDocument(
                series=name, date=suggestion.date, sure=suggestion.sure, text=suggestion.as_text()
            )
            for name, found in checked.items()
            for suggestion in found.closures
        ),
    )
