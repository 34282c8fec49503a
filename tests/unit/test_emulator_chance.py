"""Injected faults: which jobs they strike is a pure decision."""

from __future__ import annotations

import pytest

from hpcsweep.emulator import Fault
from hpcsweep.emulator.faults.chance import OF_JOBS, FaultPlan, unit
from hpcsweep.errors import InputError


def test_a_decision_depends_on_its_arguments_alone() -> None:
    assert unit(7, "sweep", 3, 0, "node_fail") == 0.44771530591553865
    args = [
        (7, "a", 3, 0, "k"),
        (8, "a", 3, 0, "k"),
        (7, "b", 3, 0, "k"),
        (7, "a", 4, 0, "k"),
        (7, "a", 3, 1, "k"),
        (7, "a", 3, 0, "l"),
    ]
    assert len({unit(*one) for one in args}) == len(args)
    share = sum(unit(1, "n", task, 0, "preempt") < 0.02 for task in range(20_000)) / 20_000
    assert 0.017 < share < 0.023


def test_ignored_characters_of_a_name_change_nothing() -> None:
    faults = tuple(Fault(kind=kind, rate=0.3) for kind in OF_JOBS)
    plan = FaultPlan(seed=1, faults=faults, ignore=r"\.[0-9a-f]{8}")
    one, two = (
        [plan.strikes(OF_JOBS, f"s.{key}.1.0", task, 0) for task in range(50)]
        for key in ("0123abcd", "fedc9876")
    )
    assert one == two
    other = FaultPlan(seed=1, faults=faults)
    assert one != [other.strikes(OF_JOBS, "s.0123abcd.1.0", task, 0) for task in range(50)]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="unknown fault 'fire'"):
        Fault(kind="fire", rate=1.0)
