"""Case ids do not collide; a collision would be an error, never a wrong answer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from hpcsweep import ids
from hpcsweep.errors import StoreError
from hpcsweep.indexset import IndexSet
from hpcsweep.sources import grid, random, uniform
from hpcsweep.state.manifest_diff import remap
from hpcsweep.store.ingest import fresh_index
from tests.support.fixtures import Scale
from tests.support.sweeps import MadeSweep

# Two hex digits of a hash: of 40 cases some are sure to share them.
SHORT = """\
from hpcsweep import ids
real = ids.case_id_of
ids.case_id_of = lambda text, replicate=0: real(text, replicate)[:2] + "0" * 14
ids.case_ids_of = lambda texts: list(map(ids.case_id_of, texts))
"""
PYTHON = """\
from pathlib import Path

def run(x):
    with Path(__file__).with_name("executions").open("a") as stream:
        stream.write(f"{x}\\n")
    return {"x": x}
"""


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortened hash, here and in every Python that is started."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SHORT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for name in ("case_id_of", "case_ids_of"):
        monkeypatch.setattr(ids, name, getattr(ids, name))
    exec(SHORT, {})  # noqa: S102  # our own


def test_random_cases_have_different_ids(scale: Scale) -> None:
    """A million of them, with --soak."""
    count = scale(50_000, 1_000_000)
    source = random({"x": uniform(0, 1), "y": uniform(0, 1)}, count, seed=1)
    assert len({int(case.case_id, 16) for case in source}) == count


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("runs", ["all", "packed", "failed", "none"])
def test_two_cases_with_one_id_are_an_error(runs: str, tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(40))), python=PYTHON)
    shared = [one for one, n in Counter(case.case_id for case in made.source).items() if n > 1]
    assert shared
    made.plan(runs=runs)
    made.run()
    # Neither takes the other's result: each was computed.
    assert sorted(map(int, (tmp_path / "executions").read_text().split())) == list(range(40))
    assert made.records("same") == []
    assert {end["index"]: end["metrics"]["x"] for end in made.records("end") if "index" in end} == {
        index: index for index in range(40)
    }
    with (
        pytest.raises(StoreError, match="two cases share the id") as caught,
        fresh_index(made.directory),
    ):
        pass
    assert any(one in caught.value.what for one in shared)


@pytest.mark.usefixtures("short")
def test_two_tasks_with_one_id_are_an_error(tmp_path: Path) -> None:
    """In either order of ingest, in one batch or in two."""
    made = MadeSweep(tmp_path, grid(x=list(range(40))), python=PYTHON)
    by_id = {case.case_id: case.index for case in made.source}
    one, other = next(
        (by_id[c.case_id], c.index) for c in made.source if by_id[c.case_id] != c.index
    )
    made.plan(IndexSet.of([one, other]), chunk_size=1)
    made.run(0)
    with fresh_index(made.directory) as sweep_index:
        assert sum(group.indices.count for group in sweep_index.case_groups()) == 1
    made.run(1)
    with pytest.raises(StoreError, match="two cases share the id"), fresh_index(made.directory):
        pass


@pytest.mark.usefixtures("short")
def test_a_case_is_found_again_by_its_values() -> None:
    old, new = grid(x=list(range(40))), grid(x=list(range(39, -1, -1)))
    assert [new.find(case.params) for case in old] == list(range(39, -1, -1))
    assert remap([IndexSet.of([3])], old, new) == [IndexSet.of([36])]
    assert json.loads(json.dumps(old[3].case_id)).endswith("0" * 14)
