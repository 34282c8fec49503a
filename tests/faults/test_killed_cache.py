"""Workers killed at each step of keeping a result: none is lost, none is half, none made twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.sources import grid
from tests.faults.killing import Point, kill_at, struck
from tests.support.keeping import calls, kept, store

RESULT = "*/.claims/*.txt */results/*.txt"
ENTRY = "*/.claims/*.json */.journal/*"
GONE = "* */.claims/.gone.*"
# Where the worker ends, in the second of three cases; and how often that is computed in the end.
STEPS = {
    "before its claim": (Point(event="os.mkdir", matching="*/.claims/.new.*", nth=3), 1),
    "a claim without an owner": (
        Point(event="os.mkdir", matching="*/.claims/.new.*", nth=4, after=True),
        1,
    ),
    "claimed": (
        Point(event="os.rename", matching="*/.claims/.new.* */.claims/*", nth=2, after=True),
        1,
    ),
    "before its result": (Point(event="os.rename", matching=RESULT, nth=2), 2),
    "a result, no mark": (Point(event="os.rename", matching=RESULT, nth=2, after=True), 2),
    "before its mark": (Point(event="open", matching="*/results/.new/*", nth=2), 2),
    "a mark, no entry": (Point(event="open", matching="*/results/.new/*", nth=2, after=True), 2),
    "before its entry": (Point(event="os.rename", matching=ENTRY, nth=2), 2),
    "an entry, a claim": (Point(event="os.rename", matching=ENTRY, nth=2, after=True), 1),
    "giving its claim up": (Point(event="os.rename", matching=GONE, nth=2, after=True), 1),
    "an empty claim": (Point(event="os.rmdir", matching="*/.claims/*", nth=3), 1),
}


@pytest.mark.parametrize(("point", "computed"), STEPS.values(), ids=STEPS)
def test_a_worker_killed_at_a_step(tmp_path: Path, point: Point, computed: int) -> None:
    made = kept(tmp_path, grid(x=[1, 2, 3]))
    made.run(0, code=-9, **kill_at([point], tmp_path / "marks"))
    assert struck(tmp_path / "marks") == [0]
    # A table that is made at this moment has the complete results, and no others.
    found = {one.x: Path(one.result_file).read_text() for one in store(tmp_path).list()}
    assert found in ({1: "result of 1"}, {1: "result of 1", 2: "result of 2"})
    made.run(restart=1)
    assert sorted(one.x for one in store(tmp_path).list()) == [1, 2, 3]
    assert calls(tmp_path) == sorted([1, *[2] * computed, 3])
    assert [made.ends()[index]["status"] for index in range(3)] == ["complete"] * 3
    results = tmp_path / "results"
    assert [one.name for one in (results / ".claims").glob("[0-9a-f]*")] == []
    assert list((results / ".new").iterdir()) == []
