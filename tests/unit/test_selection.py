"""Which cases `--cases` and `--where` select, before and after cases have a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.sources import grid, manual
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables import selection
from hpcsweep.tables.selection import LOOKED_UP_MAX, case_set, selected_cases
from tests.support.sweeps import MadeSweep

PYTHON = "def run(x):\n    if x == 2: raise ValueError\n    return {'y': x * x}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """Of x = 0..7, 0..3 have run, and 2 failed."""
    found = MadeSweep(tmp_path_factory.mktemp("s"), grid(x=list(range(8))), python=PYTHON)
    found.plan(IndexSet.all(4))
    found.handed_in()
    found.run(0)
    return found


def version(made: MadeSweep) -> Version:
    return Version.of(made.manifest, made.source)


@pytest.mark.parametrize(
    ("named", "where", "found"),
    [
        ("1,3-5", None, "1,3-5"),
        ([5, 1, 3, 4], None, "1,3-5"),
        (None, "x > 2", "3-7"),
        # Of a case that never began no metric is known.
        (None, "y >= 0", "0-1,3"),
        (None, "y == None", "2,4-7"),
        (None, "not y > 4", "0-2,4-7"),
        (None, "x >= 6 or y == 1", "1,6-7"),
        ("0-6", "x >= 6 or y == 1", "1,6"),
        (None, "status == 'failed'", "2"),
        (None, "status == 'pending' and replicate == 0", "4-7"),
        (None, "reason == None", "0-1,3-7"),
        (None, "x == '3'", ""),
        (None, "wall_seconds > 0", "0-3"),
    ],
)
def test_the_selected_cases(
    made: MadeSweep, named: str | list[int] | None, where: str | None, found: str
) -> None:
    assert str(selected_cases(version(made), made.path, named, where)) == found


def test_without_either_there_is_no_selection(made: MadeSweep) -> None:
    assert selected_cases(version(made), made.path, None, None) is None


def test_the_cases_of_a_changed_manifest(made: MadeSweep, tmp_path: Path) -> None:
    """Results are found at the indices that their cases have now."""
    copy = made.copy(tmp_path)
    copy.freeze(grid(x=[9, 3, 2, 8, 1]))
    now = version(copy)
    assert str(selected_cases(now, copy.path, None, "y > 1 or x > 8")) == "0-1"
    assert str(selected_cases(now, copy.path, None, "status == 'failed'")) == "2"
    assert str(selected_cases(now, copy.path, "3-4", "x > 0")) == "3-4"


@pytest.mark.parametrize(
    ("source", "where", "found"),
    [
        (grid(x=[1, 2, 3]), "x != 2", "0,2"),
        # Equal cases, and cases with other params than their neighbours'.
        (manual([{"x": 1}, {"z": 1}]) + manual([{"x": 1}, {"x": 2}]), "x == 1", "0,2"),
        (manual([{"x": 1}, {"z": 1}, {"x": None}]), "x == None", "1-2"),
        (manual([{"a": {"b": 1}}, {"a": {"b": 2}}]), "a.b == 2", "1"),
        (grid(host=[1, 2]), "param.host == 2", "1"),
        (grid(x=[1, 2]).repeat(2), "replicate == 1", "1,3"),
    ],
)
def test_a_sweep_that_was_never_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: ParameterSource, where: str, found: str
) -> None:
    monkeypatch.setattr(selection, "CASES_AT_ONCE", 2)
    made = MadeSweep(tmp_path, grid(x=[1]))
    new = Version.of(made.manifest, source)
    assert str(selected_cases(new, tmp_path / "none", None, where)) == found


def test_a_condition_is_not_tried_on_more_cases_than_it_should(made: MadeSweep) -> None:
    many = Version.of(made.manifest, grid(x=list(range(1000)), z=list(range(2000))))
    with pytest.raises(InputError, match=r"(?s)2000000 cases that never began .*--cases 0-99999"):
        selected_cases(many, made.path / "none", None, "x == 1")
    assert LOOKED_UP_MAX == 1_000_000
    few = selected_cases(many, made.path / "none", "1999000-1999999", "z == 7")
    assert few == IndexSet.of([])
    few = selected_cases(many, made.path / "none", "0-1999", "x == 0 and z == 7")
    assert few == IndexSet.of([7])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("yy > 1", "'yy' is not a column"),
        ("index > 1", "'index' is not a column"),
        ("y >", "does not parse"),
        ("__import__('os')", "is not a comparison"),
    ],
)
def test_a_condition_that_is_none(made: MadeSweep, where: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        selected_cases(version(made), made.path, None, where)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", "it names no case"),
        ([], "it names no case"),
        ("0-8", "no case has the index 8"),
        ([-1], "-1"),
        ("x", "'x' is neither an index nor an ascending range"),
    ],
)
def test_cases_that_are_none(named: str | list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        case_set(named, 8)
