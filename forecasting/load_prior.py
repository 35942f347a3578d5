"""What is known of loads before one has been seen: weights of the linear model, and trees for the day ahead.

Both are learned from recorded loads of other places, in units of each load's own anomalies, by
`benchmarks/load_prior.py`; they stand beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np

from forecasting.boosted import Forest
from forecasting.near_prior import NearPrior

WEIGHTS_FILE, TREES_FILE = "near_prior.json", "usual_trees.npz"


@dataclass(frozen=True, eq=False)
class LoadPrior:
    """What other loads have shown."""

    weights: NearPrior
    """What the linear model begins with."""
    trees: Forest = field(repr=False)
    """Distance from the profile by the rows of `day_ahead`, in units of a load's usual distance."""


@cache
def shipped_prior() -> LoadPrior:
    """The one that comes with the package."""
    here = files("forecasting")
    weights = NearPrior.read(here.joinpath(WEIGHTS_FILE).read_text(encoding="utf-8"))
    return LoadPrior(weights, forest_read(here.joinpath(TREES_FILE).read_bytes()))


def forest_written(forest: Forest) -> bytes:
    """A forest as the bytes of an `.npz` file; thresholds and values in single precision."""
    own = np.arange(len(forest.feature))
    file = BytesIO()
    np.savez_compressed(
        file,
        roots=forest.roots.astype(np.int32),
        feature=forest.feature.astype(np.uint8),
        threshold=forest.threshold.astype(np.float32),
        to_left=(forest.left - own).astype(np.int16),
        to_right=(forest.right - own).astype(np.int16),
        value=forest.value.astype(np.float32),
        depth=np.int64(forest.depth),
        base=np.float64(forest.base),
    )
    return file.getvalue()


def forest_read(content: bytes) -> Forest:
    with np.load(BytesIO(content), allow_pickle=False) as found:
        own = np.arange(len(found["feature"]), dtype=np.int64)
        return Forest(
            roots=found["roots"].astype(np.int64),
            feature=found["feature"].astype(np.int64),
            threshold=found["threshold"].astype(float),
            left=own + found["to_left"],
            right=own + found["to_right"],
            value=found["value"].astype(float),
            depth=int(found["depth"]),
            base=float(found["base"]),
        )
