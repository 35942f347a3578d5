"""Makes the sample histories of the shipped parks from published measurements.

    python -m scripts.samples SOURCE_FOLDER [--park NAME] [--out FOLDER]

SOURCE_FOLDER holds the source files under the names in each park's `SOURCES`. The mapping is the code: what is shifted,
scaled, repaired or assumed stands in the park's module and, with the counts, in the SOURCES.md that is written beside
the series. Running it again on the same files gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from scripts.samples import baoshan_steel, beijing_hotel, jiashan_park, nanjing_hospital, wuxi_depot

PARKS = {
    park.__name__.rsplit(".", 1)[-1]: park
    for park in (jiashan_park, baoshan_steel, nanjing_hospital, beijing_hotel, wuxi_depot)
}
OUT = Path(__file__).resolve().parents[2] / "site_configs" / "sample"


def main() -> None:
    arguments = argparse.ArgumentParser(description="Makes the sample histories of the shipped parks.")
    arguments.add_argument("source_folder", type=Path)
    arguments.add_argument("--park", choices=sorted(PARKS), help="this park alone")
    arguments.add_argument("--out", type=Path, default=OUT)
    chosen = arguments.parse_args()
    for name, park in PARKS.items():
        if chosen.park in (None, name):
            files = {key: pd.read_csv(chosen.source_folder / path) for key, path in park.SOURCES.items()}
            park.make(files).write(chosen.out / name)


if __name__ == "__main__":
    main()
