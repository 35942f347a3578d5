"""The errors of the house. Expected outcomes (infeasible, late, stale, rejected) are values, not exceptions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where, which value, what to do."""

    file: str
    path: str
    """Field or line inside the file, e.g. `devices.3.capacity_kwh (battery1)` or `line 17, load.demand_kw`."""
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}, got {self.value}"


class QuartetError(Exception):
    """Base of all errors that a user can mend; the message ends with what to do next."""


class InputError(QuartetError):
    """Bad input: every problem found, not only the first. The command line ends with exit code 2."""

    def __init__(self, problems: list[Problem]) -> None:
        if not problems:
            raise ValueError("an InputError needs at least one problem")
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class MissingPartError(QuartetError):
    """A real part (broker, device, database) is missing or cannot be reached. Exit code 3."""
