"""`quartet check`: the site file, and what its recorded history says about itself."""

from __future__ import annotations

from pathlib import Path

from quartet.documents import ClosureSuggestionDocument, DataCheck, SeriesFindingDocument, SiteCheck
from site_configs.history import read_history
from site_configs.loader import check_site, load_site
from site_configs.site import Site
from streams.site_forecasts import check_history


def check_with_data(name: str, folder: Path) -> SiteCheck:
    """All errors of the site file; without any, what is odd in its series.

    Raises:
        InputError: the history cannot be read.
    """
    document = SiteCheck(**check_site(name).model_dump())
    if not document.ok:
        return document
    return document.model_copy(update={"data": check_data(load_site(name), folder)})


def check_data(site: Site, folder: Path) -> DataCheck:
    """What is odd in the series that forecasts of the site are made from."""
    history = read_history(folder, zone=site.timezone)
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
