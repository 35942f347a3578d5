"""Grid factors by region and data year (RULES 7)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from optimizer.errors import InputError
from site_configs.carbon import factor


def test_the_latest_factor_and_its_document() -> None:
    found = factor("zhejiang")
    assert (found.kg_per_kwh, found.data_year) == (Decimal("0.4974"), 2023)
    assert (found.document, found.published, found.status) == ("公告2025年第47号", "2025-12", "published")


@pytest.mark.parametrize(
    ("region", "year", "value"),
    [
        ("zhejiang", 2021, "0.5422"),
        ("national", 2021, "0.5568"),
        ("national", 2022, "0.5366"),
        ("national_residual", 2023, "0.6096"),
        ("shanghai", 2022, "0.5849"),
    ],
)
def test_factors_of_the_announcements(region: str, year: int, value: str) -> None:
    assert factor(region, year).kg_per_kwh == Decimal(value)


def test_a_region_whose_latest_figure_is_older_keeps_its_own_year() -> None:
    assert factor("fossil").data_year == 2022


def test_unknown_region_and_year_list_what_there_is() -> None:
    with pytest.raises(InputError, match="no such region: known are beijing, east"):
        factor("atlantis")
    with pytest.raises(InputError, match="known are 2021, 2022, 2023, got 1999"):
        factor("zhejiang", 1999)
