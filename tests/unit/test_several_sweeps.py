"""Several sweeps in one table, and two of them compared."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep.cli.render.comparison import print_comparison
from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import json_bytes
from hpcsweep.settings import Settings
from hpcsweep.sources import ConcatSource, ParameterSource, manual
from hpcsweep.sweepdir.plan import provenance_of
from hpcsweep.tables.columns import TableRow
from hpcsweep.tables.compare import (
    MetricDifference,
    Side,
    SweepComparison,
    compare,
    compare_cases,
)
from hpcsweep.tables.kept_cases import KeptCases
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.several import collect_several, labels_of
from hpcsweep.tables.shape import Shape
from hpcsweep.tables.sorting import RowOrder
from tests.support.sweeps import MadeSweep

# The later code: another value for x == 2, none for x == 3, and a failure at x == 4.
OLD = "def run(x, sweep=0):\n    return {'y': 2.0 * x, 'note': 'same', 'z': 1}\n"
NEW = """\
def run(x, n=0):
    if x == 4:
        raise ValueError("no")
    metrics = {'y': 2.0 * x + (x == 2), 'note': 'same'}
    return metrics if x == 3 else metrics | {'z': 0 if x == 1 else 1, 'w': 1}
"""
PYTHON = {"version": "3.11.2", "executable": "python"}
ORIGIN = {"system": "Linux", "python": PYTHON, "git": {"commit": "a" * 40, "dirty": True}}


def sweep_of(root: Path, source: ParameterSource, python: str, packages: list[str]) -> MadeSweep:
    root.mkdir()
    made = MadeSweep(root, source, python=python)
    made.plan()
    made.handed_in()
    made.run(0)
    (made.path / provenance_of(1)).write_bytes(json_bytes(ORIGIN | {"packages": packages}))
    return made


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[MadeSweep]:
    root = tmp_path_factory.mktemp("several")
    old = manual([*({"x": x} for x in (0, 1, 2, 3, 4)), {"x": 9, "sweep": 7}])
    new = ConcatSource(
        [manual([*({"x": x} for x in (4, 3, 2, 1)), {"x": 5, "n": 1}]), manual([{"x": 2}])]
    )
    return [
        sweep_of(root / "old", old, OLD, ["numpy 1.26.4", "zlib 1"]),
        sweep_of(root / "new", new, NEW, ["numpy 2.0.0"]),
    ]


def collected(
    sweeps: list[MadeSweep], **request: Any
) -> tuple[list[str], list[TableRow], list[str]]:
    taken: list[Any] = []
    said: list[str] = []
    collect_several(
        [(made.directory, None) for made in sweeps],
        Settings(),
        lambda columns, rows: taken.extend((columns.names, list(rows))),
        TableRequest(notify=said.append, **request),
    )
    names, rows = taken
    return names, [{name: row[name] for name in names if name in row} for row in rows], said


def test_the_columns_are_those_of_all(sweeps: list[MadeSweep]) -> None:
    names, rows, _ = collected(sweeps)
    assert names[:2] == ["sweep", "index"]
    assert {"x", "n", "param.sweep", "y", "z", "w"} < set(names)
    paths = [str(made.path) for made in sweeps]  # both are called s
    assert [(row["sweep"], row["index"]) for row in rows] == [
        (path, index) for path in paths for index in range(6)
    ]
    assert rows[5]["param.sweep"] == 7
    assert [row.get("w") for row in rows[6:]] == [None, None, 1, 1, 1, 1]


def test_a_condition_may_name_the_column_of_one(sweeps: list[MadeSweep]) -> None:
    new = str(sweeps[1].path)
    names, rows, said = collected(
        sweeps, selection=Selection(where="w == 1"), columns=("sweep", "x")
    )
    assert names == ["sweep", "x"]
    assert rows == [{"sweep": new, "x": x} for x in (2, 1, 5, 2)]
    assert said == [f"{sweeps[0].path}: no case is selected: --where 'w == 1'"]
    with pytest.raises(InputError, match="'v' is not a column"):
        collected(sweeps, columns=("v",))


def test_sweeps_side_by_side_in_a_pivot(sweeps: list[MadeSweep]) -> None:
    selection = Selection(where="x == 1 or x == 3")
    names, rows, _ = collected(sweeps, selection=selection, shape=Shape(pivot="x,sweep:y"))
    assert names == ["x", *sorted(f"sweep={made.path}" for made in sweeps)]
    assert [[row["x"], *sorted({row[name] for name in names[1:]})] for row in rows] == [
        [1, 2.0],
        [3, 6.0],
    ]


def test_sweeps_in_a_directory_whose_name_is_not_utf_8(
    sweeps: list[MadeSweep], tmp_path: Path
) -> None:
    place = tmp_path / "caf\udce9"
    moved = sweeps[0].copy(place)
    both = hs.collect([moved.path, sweeps[1].path])
    label = f"{tmp_path}/caf\\udce9/s"
    assert both.to_arrow()["sweep"][0].as_py() == both.query()[0]["sweep"] == label
    assert both.to_dataframe()["sweep"][0] == label


def test_several_in_the_order_of_columns(sweeps: list[MadeSweep]) -> None:
    """As one table of all is ordered; ties in the order of sweeps, missing values last."""
    _, everything, _ = collected(sweeps)
    for columns in (("y",), ("sweep", "x"), ("y", "sweep"), ("n", "x"), ("sweep",)):
        for descending in (False, True):
            order = RowOrder(columns=columns, descending=descending)
            values = {name: [row.get(name) for row in everything] for name in columns}
            expected = [everything[at] for at in order.positions(values)]
            assert collected(sweeps, order=order)[1] == expected
            limited = collected(sweeps, order=replace(order, limit=3))[1]
            assert limited == expected[:3]
    assert collected(sweeps, order=RowOrder(limit=7))[1] == everything[:7]
    by_attempt = collected(sweeps, order=RowOrder(columns=("x",), limit=2), attempts=True)[1]
    assert [row["x"] for row in by_attempt] == [0, 1]


def test_attempts_of_several(sweeps: list[MadeSweep]) -> None:
    names, rows, _ = collected(sweeps, attempts=True, selection=Selection(cases="0"))
    assert names[:4] == ["sweep", "index", "case_id", "replicate"]
    assert [(row["sweep"], row["attempt"]) for row in rows] == [
        (str(made.path), 1) for made in sweeps
    ]


def test_what_a_sweep_is_called(sweeps: list[MadeSweep]) -> None:
    first, second = (made.directory for made in sweeps)
    assert labels_of([first]) == ["s"]
    assert labels_of([first, second]) == [str(first.path), str(second.path)]
    with pytest.raises(InputError, match="is named twice"):
        labels_of([first, first])


def test_several_in_python(sweeps: list[MadeSweep], tmp_path: Path) -> None:
    """As on the command line, but always with the column of the sweep."""
    first, second = (made.path for made in sweeps)
    both = hs.collect([hs.Sweep(str(first)), second])
    assert repr(both) == "<SeveralSweeps s, s>"
    names, rows, said = collected(sweeps, selection=Selection(where="w == 1"))
    notices: list[str] = []
    assert both.query("w == 1", notify=notices.append) == rows
    assert notices == said
    assert list(both.to_dataframe().columns) == names == both.to_arrow().column_names
    assert hs.collect(second).query(limit=1, columns=["sweep", "x"]) == [{"sweep": "s", "x": 4}]
    assert both.query(sql="SELECT count(*) AS n FROM cases") == [{"n": 12}]
    with pytest.raises(InputError, match="is named twice"):
        hs.collect([first, first]).query()
    with pytest.raises(InputError, match="no sweep to collect"):
        hs.collect([])
    with pytest.raises(SweepError, match="there is no sweep"):
        hs.collect([tmp_path / "none"])


# --- compare -------------------------------------------------------------------------------------


def compared(sweeps: list[MadeSweep], *on: str, where: str | None = None) -> SweepComparison:
    pairs = [(made.directory, None) for made in sweeps]
    return compare(pairs, Settings(), on or ("params",), Selection(where=where))


def test_cases_with_the_same_params_are_compared(sweeps: list[MadeSweep]) -> None:
    found = compared(sweeps)
    # The case that is twice in the second sweep counts once.
    assert (found.a.cases, found.b.cases, found.both) == (6, 5, 4)
    assert found.statuses == {("complete", "complete"): 3, ("complete", "failed"): 1}
    assert {name: (one.equal, one.different) for name, one in found.metrics.items()} == {
        "y": (2, 1),
        "note": (3, 0),
        "z": (1, 1),
        "w": (0, 0),
    }
    assert (found.metrics["z"].only_a, found.metrics["w"].only_b) == (1, 2)
    first, second = found.differences
    assert (first.metric, first.index_a, first.index_b, first.a, first.b) == ("z", 1, 3, 1, 0)
    assert (first.absolute, first.relative) == (-1.0, -1.0)
    assert (second.metric, second.absolute, second.relative) == ("y", 1.0, 0.25)
    assert found.a.code.total() == 6
    assert found.a.code.keys() != found.b.code.keys()
    assert found.environment == {"numpy": ("1.26.4", "2.0.0"), "zlib": ("1", None)}


def test_cases_are_compared_by_the_columns_named(sweeps: list[MadeSweep]) -> None:
    assert compared(sweeps, "x").both == 4
    with pytest.raises(InputError, match=r"several cases of .* are the same in note"):
        compared(sweeps, "note")
    with pytest.raises(InputError, match="'xx' is not a column"):
        compared(sweeps, "xx")
    some = compared(sweeps, where="x > 2")
    assert (some.a.cases, some.b.cases, some.both) == (3, 3, 2)


def test_a_comparison_as_json(sweeps: list[MadeSweep]) -> None:
    document = json.loads(json.dumps(compared(sweeps).to_json()))
    assert (document["both"], document["only_a"], document["only_b"]) == (4, 2, 1)
    assert document["statuses"][1] == {"a": "complete", "b": "failed", "cases": 1}
    assert document["metrics"]["y"]["largest_relative"] == 0.25
    assert document["differences"][1]["absolute"] == 1.0
    assert document["a"]["environment"]["commit"] == "aaaaaaaaaaaa and changes"


def test_a_comparison_for_people(
    sweeps: list[MadeSweep], capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(compared(sweeps))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[2:4] == [
        "cases 4 in both, 2 only in A, 1 only in B",
        "status 3 complete in both, 1 complete -> failed",
    ]
    assert "environment numpy 1.26.4 -> 2.0.0, zlib 1 -> none" in lines
    assert "y 2 1 1.0 0.25" in lines
    assert "2 2 y 4.0 5.0 1.0 0.25" in lines


def test_an_environment_that_is_not_known(sweeps: list[MadeSweep], tmp_path: Path) -> None:
    copies = []
    for made, text in zip(sweeps, (None, "[]"), strict=True):
        (tmp_path / made.root.name).mkdir()
        copy = made.copy(tmp_path / made.root.name)
        file = copy.path / provenance_of(1)
        file.unlink()
        if text:
            file.write_text(text)
        copies.append(copy)
    assert compared(copies).environment == {}


def test_a_difference_of_integers_is_exact() -> None:
    """Beyond 2^53, where floats are even numbers."""
    one = MetricDifference(metric="n", index_a=0, index_b=0, a=2**53, b=2**53 + 1)
    assert (one.absolute, one.to_json()["absolute"]) == (1, 1)


@pytest.mark.parametrize(
    ("a", "b", "absolute", "relative"),
    [(10**400, 1.5, None, None), (1, 10**400, 10**400 - 1, None), (10**400, 10**400 + 1, 1, 0.0)],
)
def test_integers_that_no_float_has(
    a: float, b: float, absolute: float | None, relative: float | None
) -> None:
    one = MetricDifference(metric="n", index_a=0, index_b=0, a=a, b=b)
    assert (one.absolute, one.relative) == (absolute, relative)


@pytest.mark.parametrize(
    ("a", "b", "is_equal"),
    [
        ([1], [1.0], True),
        ([1], [True], False),
        ([nan, 1], [float("nan"), 1], True),
        ({"a": [0.0]}, {"a": [-0.0]}, True),
        (1, True, False),
        (nan, float("nan"), True),
        ("1", 1, False),
    ],
)
def test_metrics_are_equal_as_values_of_a_case_are(a: Any, b: Any, is_equal: bool) -> None:
    sides = [Side(label=name, path=name) for name in "ab"]
    rows = [[(0, (0, "complete", value))] for value in (a, b)]
    found = compare_cases(sides, ["m"], KeptCases([rows[0]]), [rows[1]])
    assert (found.metrics["m"].equal, found.metrics["m"].different) == (is_equal, not is_equal)
