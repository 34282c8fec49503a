"""What successive halving promotes is what the rule of ASHA promotes, one trial after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.manifest.policies import DIRECTIONS, MAXIMIZE, Halving
from hpcsweep.search.halving import configurations, promotions


@dataclass(frozen=True)
class Study:
    """A search: its rungs, and the values that its trials will have, one after another."""

    factor: int
    rungs: int
    direction: str
    batch: int
    # Few of them, so that there are equal ones; None fails.
    values: list[float | None]
    # Which configuration is proposed anew; few of them, so that some are proposed twice.
    proposed: list[int]

    @property
    def halving(self) -> Halving:
        largest = 2 * self.factor ** (self.rungs - 1)
        return Halving(resource="epochs", smallest=2, largest=largest, factor=self.factor)


STUDIES = st.builds(
    Study,
    factor=st.integers(2, 4),
    rungs=st.integers(2, 4),
    direction=st.sampled_from(DIRECTIONS),
    batch=st.integers(1, 12),
    values=st.lists(st.none() | st.integers(-4, 4).map(float), min_size=60, max_size=60),
    proposed=st.lists(st.integers(0, 40), min_size=60, max_size=60),
)


class Reference:
    """Algorithm 2 of Li et al. (2020): a list of configurations for each rung."""

    def __init__(self, study: Study) -> None:
        self.study = study
        # By rung: value and place of each configuration that is complete there, those that began.
        self.complete: list[dict[int, tuple[float, int]]] = [{} for _ in range(study.rungs)]
        self.begun: list[set[int]] = [set() for _ in range(study.rungs)]
        # All trials, and their values.
        self.cases: list[dict[str, Any]] = []
        self.values: list[float | None] = []

    def get_job(self) -> tuple[int, int] | None:
        """The next promotion: a configuration and its new rung; None where a new one begins."""
        sign = -1.0 if self.study.direction == MAXIMIZE else 1.0
        for rung in reversed(range(self.study.rungs - 1)):
            there = self.complete[rung]
            ordered = sorted(there, key=lambda one: (sign * there[one][0], there[one][1]))
            for one in ordered[: len(there) // self.study.factor]:
                if one not in self.begun[rung + 1]:
                    return one, rung + 1
        return None

    def end(self, params: dict[str, Any], value: float | None) -> None:
        """A trial is over; one that was there already has the value that it had."""
        one, rung = params["x"], self.study.halving.budgets.index(params["epochs"])
        is_new = params not in self.cases
        if not is_new:
            value = self.values[self.cases.index(params)]
        self.cases.append(params)
        self.values.append(value)
        self.begun[rung].add(one)
        if is_new and value is not None:
            self.complete[rung][one] = (value, len(self.cases))


@given(STUDIES)
def test_each_batch_is_what_the_rule_gives_one_by_one(study: Study) -> None:
    halving, reference = study.halving, Reference(study)
    while (done := len(reference.cases)) < len(study.values):
        expected: list[dict[str, Any]] = []
        while (job := reference.get_job()) is not None:
            one, rung = job
            reference.begun[rung].add(one)
            expected.append({"x": one, "epochs": halving.budgets[rung]})
        known = configurations(halving, reference.cases, reference.values)
        promoted = promotions(halving, study.direction, known)
        assert promoted == expected
        # What does not fit into the batch is asked by the next one.
        for left in promoted[study.batch :]:
            reference.begun[halving.budgets.index(left["epochs"])].discard(left["x"])
        new = [{"x": x, "epochs": 2} for x in study.proposed[done : done + study.batch]]
        values = study.values[done : done + study.batch]
        batch = [*promoted, *new][: len(values)]
        for params, value in zip(batch, values, strict=True):
            reference.end(params, value)
