"""The rungs of a search with `halving`: how many trials each budget has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hpcsweep.files import names
from hpcsweep.manifest.policies import Halving
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import FROM_START


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """The trials of one budget."""

    budget: int
    # Counts of trials: of all that are cases, and of those that have a value.
    asked: int
    valued: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingProgress:
    """How far successive halving is."""

    # The parameter that has the budget.
    resource: str
    rungs: tuple[Rung, ...]
    # Count of promoted trials that found no checkpoint of their predecessor.
    from_start: int

    @property
    def texts(self) -> list[str]:
        """For people: `epochs 1: 40, 3: 13, 9: 4`, and what began from the start."""
        counts = ", ".join(f"{rung.budget}: {rung.asked}" for rung in self.rungs if rung.asked)
        texts = [f"{self.resource} {counts}"]
        if self.from_start:
            texts.append(f"{self.from_start} promoted found no checkpoint and began from the start")
        return texts


def halving_progress(
    halving: Halving,
    sweep: SweepDirectory,
    budgets: Sequence[int],
    values: Sequence[float | None],
) -> HalvingProgress:
    """How far halving is; `budgets` and `values` are those of all trials."""
    asked = Counter(budgets)
    pairs = zip(budgets, values, strict=True)
    valued = Counter(budget for budget, value in pairs if value is not None)
    marks = [name for name in names(sweep.checkpoint_root) if name.endswith(FROM_START)]
    return HalvingProgress(
        resource=halving.resource,
        rungs=tuple(
            Rung(budget=budget, asked=asked[budget], valued=valued[budget])
            for budget in halving.budgets
        ),
        from_start=len(marks),
    )
