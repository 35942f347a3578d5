"""One park's sample: its series by local time, its cars, and what SOURCES.md says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pandas as pd

from optimizer.situation import Session
from scripts.samples.readings import ZONE
from site_configs.history import write_history

Files = Mapping[str, pd.DataFrame]
"""Source files by the name that a park gives them, as they were published."""
NOTES = Path(__file__).resolve().parent / "notes"


@dataclass(frozen=True)
class Sample:
    """What is written to a sample folder."""

    local: pd.DataFrame
    """Columns of the history folder on the park's local clock."""
    sessions: tuple[Session, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)
    """Constants and counts that the park's notes name."""

    def write(self, folder: Path) -> None:
        """Series, sessions and SOURCES.md; other files of the folder stay."""
        frame = self.local.tz_localize(ZONE).tz_convert("UTC").rename_axis("time")
        write_history(folder, frame, self.sessions)
        text = Template((NOTES / f"{folder.name}.md.in").read_text(encoding="utf-8"))
        (folder / "SOURCES.md").write_text(text.substitute(self.notes, table=self.table()), encoding="utf-8")

    def table(self) -> str:
        """Mean, lowest and highest value of each series, as lines of a table."""
        return "\n".join(_figures(str(name), self.local[name]) for name in self.local)


def _figures(name: str, column: pd.Series[float]) -> str:
    return f"| `{name}` | {column.mean():.1f} | {column.min():.1f} | {column.max():.1f} |"
