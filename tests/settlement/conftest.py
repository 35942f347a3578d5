"""A park and its measured flows, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff

FlowsOf = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site("jiashan_park")


@pytest.fixture(scope="session")
def tariff(site: Site) -> Tariff:
    return load_tariff(site)


@pytest.fixture(scope="session")
def local(site: Site) -> Callable[[str], datetime]:
    return lambda text: datetime.fromisoformat(text).replace(tzinfo=site.zone).astimezone(UTC)


@pytest.fixture(scope="session")
def constant() -> FlowsOf:
    """Constant powers over [start, end)."""

    def flows(start: datetime, end: datetime, minutes: int = 15, **kw: float) -> pd.DataFrame:
        index = pd.date_range(start, end, freq=f"{minutes}min", inclusive="left")
        columns = {"import_kw": 1000.0, "export_kw": 0.0, **kw}
        return pd.DataFrame({name: np.full(len(index), value) for name, value in columns.items()}, index=index)

    return flows
