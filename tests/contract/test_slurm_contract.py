"""The emulated and a real Slurm answer alike: see tests/support/contract.py for the cases.

The answers in tests/data/slurm-contract are those of real Slurms, a set for each version. All cases
of a kind run at once, before the first of its tests; each test then looks at one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import contract
from tests.support.contract import VERSIONS
from tests.support.fixtures import require_slurm

SETS = {version: {case.name: case for case in contract.read_all(version)} for version in VERSIONS}
OLDEST = VERSIONS[0]
CASES = SETS[OLDEST]
# Where the emulator answers otherwise than 22.05, knowingly; listed in docs/reference/emulator.md.
DIFFERENCES = {
    "arrays: sbatch -H --array=0-998:2 ok.sh (2)": "squeue -r lacks the last element",
    "arrays: sbatch -H --array=0-3 ok.sh (2)": "squeue -j J_[1-2] shows the waiting array as J_0",
}
# What a real Slurm is asked again in every run; the rest with --soak. It is what answers at once.
EVERY_TIME = ("steps", "submit")


def _changed(version: str) -> list[str]:
    """The cases that a version answers otherwise than the oldest one."""
    answered = {name: case.text for name, case in SETS[version].items()}
    return [name for name, case in CASES.items() if case.text != answered.get(name)]


def _pairs() -> Iterator[Any]:
    """Every case on the oldest version and on a real Slurm; on the others what they changed."""
    for version in VERSIONS:
        group = pytest.mark.xdist_group(f"contract-{version}")
        for name in CASES if version == OLDEST else _changed(version):
            yield pytest.param(name, version, marks=group)
    for name in CASES:
        soak = () if name.startswith(EVERY_TIME) else (pytest.mark.soak,)
        yield pytest.param(name, "slurm", marks=(pytest.mark.slurm, *soak))


class Answers:
    """What each kind of cluster answers to the cases of this run; each is asked once."""

    def __init__(self, items: list[pytest.Item]) -> None:
        asked = [
            (item.callspec.params["kind"], item.callspec.params["name"])
            for item in items
            if isinstance(item, pytest.Function)
            and hasattr(item, "callspec")
            and {"kind", "name"} <= item.callspec.params.keys()
        ]
        self._asked = {
            kind: [name for name in CASES if (kind, name) in asked]
            for kind in {kind for kind, _ in asked}
        }
        self._known: dict[str, dict[str, str]] = {}

    def of(self, kind: str) -> dict[str, str]:
        """The answers of a real Slurm, or of the emulated one in a version, by name of the case."""
        if kind not in self._known:
            is_real = kind == "slurm"
            version = contract.installed_version() if is_real else kind
            asked = [SETS[version][name] for name in self._asked[kind]]
            self._known[kind] = (
                contract.ask_real(asked) if is_real else contract.ask_emulated(kind, asked)
            )
        return self._known[kind]


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest) -> Answers:
    """What the clusters answer."""
    return Answers(request.session.items)


@pytest.mark.parametrize(("name", "kind"), [*_pairs()])
def test_answers_as_recorded(answers: Answers, name: str, kind: str) -> None:
    version = kind
    if kind == "slurm":
        require_slurm()
        version = contract.installed_version()
        if version not in VERSIONS:
            pytest.skip(f"no answers of a Slurm {version} are on record")
    recorded = SETS[version][name].text
    if os.getuid() and "JobHeldAdmin" in recorded:
        pytest.skip("what an administrator holds")
    seen = answers.of(kind)[name]
    if kind == OLDEST and name in DIFFERENCES:
        assert seen != recorded, "no difference any more: take it out of DIFFERENCES"
    else:
        assert seen == recorded


def test_there_are_enough_cases_and_few_differences() -> None:
    assert len(CASES) >= 120
    assert len(DIFFERENCES) < 10
    assert set(DIFFERENCES) <= set(CASES)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_every_version_answered_the_same_commands(version: str) -> None:
    asked = {name: [step for step, _ in case.steps] for name, case in CASES.items()}
    assert {name: [step for step, _ in case.steps] for name, case in SETS[version].items()} == asked
