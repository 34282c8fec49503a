"""The emulated and a real Slurm answer alike: see tests/support/contract.py for the cases.

The answers in tests/data/slurm-contract are those of a real Slurm 22.05.8. All cases of a kind run
at once, before the first of its tests; each test then looks at one of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import contract
from tests.support.emulated import Emulated
from tests.support.fixtures import require_slurm
from tests.support.slurm_cluster import PrivateSlurm

CASES = {case.name: case for case in contract.read_all()}
# Where the emulator answers otherwise, knowingly; docs/emulator.md has the same list.
DIFFERENCES = {
    "arrays: sbatch -H --array=0-998:2 ok.sh (2)": "squeue -r lacks the last element",
    "arrays: sbatch -H --array=0-3 ok.sh (2)": "squeue -j J_[1-2] shows the waiting array as J_0",
}
# What a real Slurm is asked again in every run; the rest with --soak. It is what answers at once.
EVERY_TIME = ("steps", "submit")


def _pairs() -> Iterator[Any]:
    """Every case on each kind."""
    for name in CASES:
        yield pytest.param(name, "emulated", marks=pytest.mark.xdist_group("contract"))
        soak = () if name.startswith(EVERY_TIME) else (pytest.mark.soak,)
        yield pytest.param(name, "slurm", marks=(pytest.mark.slurm, *soak))


def _wanted(request: pytest.FixtureRequest, kind: str) -> list[contract.Case]:
    """The cases that this run looks at."""
    wanted = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    names = {params.get("name") for params in wanted if params.get("kind") == kind}
    return [case for name, case in CASES.items() if name in names]


@pytest.fixture(scope="session")
def emulated_answers(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What the emulated Slurm answers, by the name of the case."""
    with tempfile.TemporaryDirectory(prefix="hc-", dir="/tmp") as place:
        Path(place).chmod(0o755)
        with Emulated(Path(place) / "cluster", **contract.EMULATED) as cluster:
            runner = contract.Runner(cluster.env(), cluster.work)
            yield runner.run_all(_wanted(request, "emulated"))


@pytest.fixture(scope="session")
def slurm_answers(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a real Slurm answers, by the name of the case."""
    require_slurm()
    with PrivateSlurm(contract.REAL) as cluster:
        place = cluster.directory / "cases"
        place.mkdir()
        yield contract.Runner(cluster.env(), place).run_all(_wanted(request, "slurm"))


@pytest.mark.parametrize(("name", "kind"), [*_pairs()])
def test_answers_as_recorded(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    case = CASES[name]
    if os.getuid() and "JobHeldAdmin" in case.text:
        pytest.skip("what an administrator holds")
    seen = request.getfixturevalue(f"{kind}_answers")[name]
    if kind == "emulated" and name in DIFFERENCES:
        assert seen != case.text, "no difference any more: take it out of DIFFERENCES"
    else:
        assert seen == case.text


def test_there_are_enough_cases_and_few_differences() -> None:
    assert len(CASES) >= 120
    assert len(DIFFERENCES) < 10
    assert set(DIFFERENCES) <= set(CASES)
