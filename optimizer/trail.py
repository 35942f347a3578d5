"""Where the linear program of one plan ended is where that of the next may start, a step further on.

A quarter hour later most of what was at a bound still is, one step nearer: a simplex that starts there needs a tenth of
the iterations (docs/decisions/032-plans-in-a-row.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.model import Model
from optimizer.solver import Basis


@dataclass
class Trail:
    """The last basis of plans that follow one another, of one model."""

    model: Model | None = None
    basis: Basis | None = None

    def ahead(self, model: Model) -> Basis | None:
        """Where the next program of the model may start."""
        if self.basis is None or self.model is not model:
            return None
        columns, rows = model.compiled.moved_on(model.shape.near)
        return Basis(self.basis.columns[columns], self.basis.rows[rows])

    def leave(self, model: Model, basis: Basis | None) -> None:
        """Remembers where the model's program ended."""
        self.model, self.basis = model, basis
