"""The made-up park fitted once, and the sample's recorded series."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forecasting.site_forecaster import FittedSite, SiteForecaster
from tests.forecasting.park import HORIZON, ISSUED, SPECS, ZONE, day_type, made_up_park, past_sessions


@pytest.fixture(scope="session")
def park() -> pd.DataFrame:
    return made_up_park()


@pytest.fixture(scope="session")
def forecaster() -> SiteForecaster:
    return SiteForecaster(SPECS, day_type, ZONE)


@pytest.fixture(scope="session")
def fitted(forecaster: SiteForecaster, park: pd.DataFrame) -> FittedSite:
    return forecaster.fit(park, ISSUED, HORIZON, past_sessions())


@pytest.fixture(scope="session")
def sample() -> pd.DataFrame:
    """The shipped park's recorded series."""
    folder = Path(__file__).parents[2] / "site_configs" / "sample" / "jiashan_park"
    return pd.read_csv(folder / "series.csv.gz", index_col="time", parse_dates=["time"])
