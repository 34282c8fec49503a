"""`case.stream("name")`: depends on seed, case id and name alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpcsweep import ids
from hpcsweep.errors import IdentityError
from hpcsweep.records import ParamCase
from hpcsweep.sources import SeedBundle, grid
from hpcsweep.sources.seedplan import SeededCase
from hpcsweep.sweep import Sweep
from tests.support.sweeps import MadeSweep

# The first attempt takes other streams in another order, and fails behind them.
PYTHON = """\
from pathlib import Path

def run(x, case, rng):
    first = not Path(__file__).with_name("tried").exists()
    names = ["noise", "start"] if first else ["start", "other", "noise"]
    found = {name: float(case.stream(name).random()) for name in names}
    again = float(case.stream("noise").random())
    Path(__file__).with_name("tried").touch()
    metrics = {"seed": str(case.seed), "again": again, "rng": float(rng.random())}
    if first:
        Path(__file__).with_name("first").write_text(repr(found))
        raise ValueError("tried")
    return metrics | found
"""
NO_NUMPY = """\
import sys

def run(x, case):
    return {"seed": str(case.seed), "numpy": "numpy" in sys.modules}
"""


def seeded(seed: int = 7, **params: object) -> SeededCase:
    return SeededCase.of(grid(**{name: [value] for name, value in params.items()})[0], seed)


def test_a_target_gets_the_same_stream_in_every_attempt(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]), python=PYTHON, seed=7)
    made.plan()
    made.run()
    made.plan(generation=1)
    made.run(submission=2)
    first, second = made.records("end")[0], made.records("end")[2]
    assert (first["status"], second["status"]) == ("failed", "complete")
    metrics = second["metrics"]
    before = eval((tmp_path / "first").read_text())  # noqa: S307  # our own repr
    assert {name: metrics[name] for name in before} == before
    assert metrics["again"] == metrics["noise"]
    assert len({metrics[name] for name in ("noise", "start", "other", "rng")}) == 4
    # The same outside of a task.
    case = SeededCase.of(made.source[0], 7)
    assert metrics["seed"] == str(case.seed)
    assert metrics["noise"] == case.stream("noise").random()


def test_a_target_without_streams_loads_no_numpy(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]), python=NO_NUMPY)
    made.plan()
    made.run()
    assert made.ends()[0]["metrics"]["numpy"] is False


def test_a_stream_depends_on_seed_case_replicate_and_name() -> None:
    case = seeded(x=1)
    assert isinstance(case, ParamCase)
    draw = case.stream("noise").random(4)
    assert isinstance(case.stream("noise"), np.random.Generator)
    assert np.array_equal(draw, seeded(x=1).stream("noise").random(4))
    others = [
        seeded(x=1).stream("nois").random(4),
        seeded(x=2).stream("noise").random(4),
        seeded(8, x=1).stream("noise").random(4),
        SeededCase.of(grid(x=[1]).repeat(2)[1], 7).stream("noise").random(4),
        np.random.default_rng(case.seed).random(4),
    ]
    assert not any(np.array_equal(draw, other) for other in others)


def test_a_stream_does_not_depend_on_the_position() -> None:
    here, there = grid(x=[1, 2, 3])[2], grid(x=[3])[0]
    assert here.index != there.index
    one, other = (SeededCase.of(case, 7).stream("a").random(4) for case in (here, there))
    assert np.array_equal(one, other)


def test_the_streams_of_a_bundle_and_of_its_case_are_the_same() -> None:
    case = seeded(x=1)
    bundle = SeedBundle(7, 0, case.case_id)
    assert bundle.seed == case.seed == ids.case_seed(7, case.case_id, 0)
    assert np.array_equal(bundle.numpy("a").random(4), case.stream("a").random(4))


def test_streams_are_independent() -> None:
    """No correlation between streams of neighbouring names, cases and replicates."""
    cases = grid(x=[1, 2]).repeat(2)
    rows = [
        SeededCase.of(case, 7).stream(name).standard_normal(20_000)
        for case in cases
        for name in ("a", "b", "a1", "a2", "")
    ]
    off = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(off).max() < 5 / np.sqrt(20_000)


def test_a_name_without_text_is_refused() -> None:
    with pytest.raises(IdentityError):
        seeded(x=1).stream("\udcff")


def test_from_the_python_door(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def run(x): pass\n")
    sweep = Sweep("s", grid(x=[1, 2]), target="model.py:run", seed=7, root=tmp_path)
    case = sweep.case(1)
    assert (case.params, case.seed) == ({"x": 2}, seeded(x=2).seed)
    assert case.stream("a").random() == seeded(x=2).stream("a").random()
    with pytest.raises(IndexError):
        sweep.case(2)
