"""Which cases `--cases`, `--where`, `--status` and `--last` select, before and after they began."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.sources import grid, manual
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables import matching
from hpcsweep.tables.named_cases import LOOKED_UP_MAX, named_cases
from hpcsweep.tables.request import selection_of
from hpcsweep.tables.selection import Selection, selected_cases
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


def select(version: Version, path: Path, **options: Any) -> IndexSet | None:
    return selected_cases(Selection(**options), version, path)


@pytest.mark.parametrize(
    ("named", "where", "found"),
    [
        ("1,3-5", None, "1,3-5"),
        ([5, 1, 3, 4], None, "1,3-5"),
        ("3, 1", None, "1,3"),
        (list(np.arange(2, 4)), None, "2-3"),
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
        (None, "host == None", "4-7"),
        (None, "index > 2 and index != 5", "3-4,6-7"),
        (None, "attempt == 0", "4-7"),
        (None, "attempt == 1 and y == 1", "1"),
        (None, "stale", ""),
        (None, "not stale and x > 2", "3-7"),
        (None, "stale == False and x > 2", "3-7"),
        (None, "stale == 1", ""),
        (None, "stale != 1 and x < 1", "0"),
    ],
)
def test_the_selected_cases(
    made: MadeSweep, named: str | list[int] | None, where: str | None, found: str
) -> None:
    assert str(select(version(made), made.path, cases=named, where=where)) == found


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    """SQLite 3.40 finds no key in a text that escapes it."""
    python = "def run(ω, t={}): return {'ö': ω / 2, 's': '\\ud800'}\n"
    cases: list[dict[str, Any]] = [
        {"ω": 1},
        {"ω": 2, "t": {"é": "ä"}},
        {"ω": 3},
        {"ω": 4, "t": {"é": "ä"}},
    ]
    made = MadeSweep(tmp_path, manual(cases), python=python)
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    for where, found in (
        ("ω >= 2", "1-3"),
        ("t.é == 'ä'", "1,3"),
        ("ö == 1", "1"),
        ("ω > 1 and ö == None", "2-3"),
    ):
        assert str(select(version(made), made.path, where=where)) == found, where


def test_a_condition_compares_no_messages(made: MadeSweep) -> None:
    """The table shows texts that are made of errors, so no row of the index has them."""
    for where in ("error == 'ValueError'", "not error != host", "error in ['x']", "abs(error) < 1"):
        with pytest.raises(InputError, match="compares error with None alone"):
            select(version(made), made.path, where=where)
    assert str(select(version(made), made.path, where="error != None")) == "2"
    assert str(select(version(made), made.path, where="error in [None]")) == "0-1,3-7"


def test_cases_of_other_code(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    plan = copy.directory.submission_dir(1) / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"code_files": ["target.py"]}))
    assert str(select(version(copy), copy.path, where="stale")) == ""
    (made.root / "target.py").write_text(PYTHON + "\n# changed\n")
    try:
        assert str(select(version(copy), copy.path, where="stale")) == "0-1,3"
        assert str(select(version(copy), copy.path, where="not stale")) == "2,4-7"
        assert str(select(version(copy), copy.path, where="stale and y < 5")) == "0-1"
    finally:
        (made.root / "target.py").write_text(PYTHON)


def test_cases_by_status(made: MadeSweep) -> None:
    for status, found in (
        (("failed",), "2"),
        (("complete", "failed"), "0-3"),
        (("pending",), "4-7"),
        (("running",), ""),
    ):
        assert str(select(version(made), made.path, status=status)) == found
    assert str(select(version(made), made.path, status=("pending",), where="x < 6")) == "4-5"
    new = Version.of(made.manifest, made.source)
    assert str(select(new, made.path / "none", status=("pending",), cases="1-2")) == "1-2"
    with pytest.raises(InputError, match="'done' is not a status"):
        Selection(status=("done",))


def test_cases_by_the_submission_that_sent_them_last(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    assert str(select(version(copy), copy.path, last=1)) == "0-3"
    copy.plan(IndexSet.parse("2,5-6"), chunk_size=2)
    copy.handed_in(submission=2)
    assert str(select(version(copy), copy.path, last=1)) == "0-1,3"
    assert str(select(version(copy), copy.path, last=2)) == "2,5-6"
    assert str(select(version(copy), copy.path, last=2, status=("pending",))) == "5-6"
    copy.freeze(grid(x=[6, 5, 0]))
    assert str(select(version(copy), copy.path, last=2)) == "0-1"
    with pytest.raises(InputError, match=r"(?s)no submission 3.*The last one is 2"):
        select(version(copy), copy.path, last=3)
    with pytest.raises(InputError, match="Nothing was submitted yet"):
        select(version(copy), tmp_path / "none", last=1)


def test_parts_that_were_not_sent_are_not_the_last(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    copy.plan(IndexSet.parse("0-3"), chunk_size=1, max_array_size=3)
    copy.handed_in(submission=2)
    copy.fact("intent", 2, 1, job_name="s.2.1", time=0.0)
    copy.fact("void", 2, 1, time=0.0)
    sent = copy.directory.plan(2)[0].parts[0].chunks
    assert select(version(copy), copy.path, last=2) == IndexSet.all(sent)
    assert select(version(copy), copy.path, last=1) == IndexSet([(sent, 4)])


# --- names of cases ------------------------------------------------------------------------------


def test_case_ids(made: MadeSweep) -> None:
    """Of cases that began, and of those that did not."""
    ids = [case.case_id for case in made.source]
    for index in (1, 3, 4, 7):
        assert str(select(version(made), made.path, cases=ids[index])) == str(index)
        assert str(select(version(made), made.path, cases=ids[index][:12])) == str(index)
    several = f"{ids[6]},0-1,{ids[3][:10]}"
    assert str(select(version(made), made.path, cases=several)) == "0-1,3,6"
    assert str(select(version(made), made.path, cases=[ids[6], 2, 0])) == "0,2,6"
    new = Version.of(made.manifest, made.source)
    assert str(select(new, made.path / "none", cases=f"{ids[6]},{ids[0][:9]}")) == "0,6"


def test_python_takes_what_the_command_line_takes() -> None:
    """Also an index alone, and statuses in one text."""
    assert selection_of(3, None, None, None).cases == [3]
    assert selection_of(None, None, "complete, failed", None).status == ("complete", "failed")
    for value in (-1, True, 1.0):
        refused = pytest.raises(InputError, match=f"{value!r} is no index")
        with refused:
            named_cases([value], 4)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("given", "cases"),
    [
        (np.int64(3), [3]),
        (np.array([3, 4]), [3, 4]),
        (np.array(3), [3]),
        (range(2), [0, 1]),
        (["0-1", 3], ["0-1", 3]),
    ],
)
def test_python_takes_integers_of_any_type(given: Any, cases: list[Any]) -> None:
    assert selection_of(given, None, None, None).cases == cases


@pytest.mark.parametrize("given", [True, np.True_, 1.5])
def test_what_is_no_index_is_refused_where_it_is_read(given: Any) -> None:
    found: Any = selection_of(given, None, None, None).cases
    with pytest.raises(InputError, match="is no index"):
        named_cases(found, 4)


def test_an_empty_list_is_not_all_cases() -> None:
    assert not selection_of(None, None, None, None)
    with pytest.raises(InputError, match="an empty list of statuses selects no case"):
        selection_of(None, None, [], None)


def test_names_from_standard_input(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    for mark in ("", "\ufeff"):  # as Windows programs begin a file
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{mark}index\n3\n0-1\n"))
        assert str(select(version(made), made.path, cases="@-")) == "0-1,3"


def test_the_indices_of_equal_cases(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, manual([{"x": 1}, {"x": 2}]) + manual([{"x": 1}]))
    case_id = made.source[0].case_id
    assert str(select(version(made), made.path, cases=case_id)) == "0,2"
    made.plan()
    made.handed_in()
    made.run(0)
    assert str(select(version(made), made.path, cases=case_id[:8])) == "0,2"


def test_a_beginning_of_several_case_ids(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(40))))
    firsts = Counter(case.case_id[0] for case in made.source)
    first = next(digit for digit in "abcdef" if firsts[digit] > 1)
    words = rf"(?s)'{first}' begins several case ids.*Give more digits"
    with pytest.raises(InputError, match=words):
        select(version(made), made.path, cases=first)
    made.plan()
    made.handed_in()
    made.run(0)
    with pytest.raises(InputError, match=words):
        select(version(made), made.path, cases=first)


def test_cases_in_a_file(made: MadeSweep, tmp_path: Path) -> None:
    path = tmp_path / "cases.txt"
    case_id = made.source[6].case_id
    path.write_text(f"index\r\n3\r\n0-1, 5  # these\n\n# none\n{case_id}\n")
    assert str(select(version(made), made.path, cases=f"@{path}")) == "0-1,3,5-6"
    path.write_text("7")
    assert str(select(version(made), made.path, cases=f"@{path}", where="x > 9")) == ""


def test_without_either_there_is_no_selection(made: MadeSweep) -> None:
    assert select(version(made), made.path, cases=None, where=None) is None


def test_the_cases_of_a_changed_manifest(made: MadeSweep, tmp_path: Path) -> None:
    """Results are found at the indices that their cases have now."""
    copy = made.copy(tmp_path)
    copy.freeze(grid(x=[9, 3, 2, 8, 1]))
    now = version(copy)
    assert str(select(now, copy.path, cases=None, where="y > 1 or x > 8")) == "0-1"
    assert str(select(now, copy.path, cases=None, where="status == 'failed'")) == "2"
    assert str(select(now, copy.path, cases="3-4", where="x > 0")) == "3-4"


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
    monkeypatch.setattr(matching, "CASES_AT_ONCE", 2)
    made = MadeSweep(tmp_path, grid(x=[1]))
    new = Version.of(made.manifest, source)
    assert str(select(new, tmp_path / "none", cases=None, where=where)) == found


def test_a_condition_is_not_tried_on_more_cases_than_it_should(made: MadeSweep) -> None:
    many = Version.of(made.manifest, grid(x=list(range(1000)), z=list(range(2000))))
    with pytest.raises(InputError, match=r"(?s)2000000 cases that never began .*--cases 0-99999"):
        select(many, made.path / "none", cases=None, where="x == 1")
    assert LOOKED_UP_MAX == 1_000_000
    few = select(many, made.path / "none", cases="1999000-1999999", where="z == 7")
    assert few == IndexSet.of([])
    few = select(many, made.path / "none", cases="0-1999", where="x == 0 and z == 7")
    assert few == IndexSet.of([7])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("yy > 1", "'yy' is not a column"),
        ("x", "'x' is not a comparison"),
        ("y >", "does not parse"),
        ("__import__('os')", "is not a comparison"),
    ],
)
def test_a_condition_that_is_none(made: MadeSweep, where: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        select(version(made), made.path, cases=None, where=where)


def test_the_index_of_another_manifest_is_no_column(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    copy.freeze(grid(x=[9, 3, 2, 8, 1]))
    with pytest.raises(InputError, match="'index' is not a column"):
        select(version(copy), copy.path, where="index > 1")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", "it names no case"),
        (" ", "it names no case"),
        ([], "it names no case"),
        ("0-8", "no case has the index 8"),
        ([-1], "-1"),
        (["1", 8], "no case has the index 8"),
        ("x", "'x' is neither an index nor an ascending range nor the beginning of a case id"),
        ("5-3", "'5-3' is neither an index nor an ascending range: write 3-5"),
        ("1,,2", "'' is neither an index"),
        ("9", "no case has the index 9"),
        ("123456789", "no case has the index '123456789', and no case id begins with '123456789'"),
        ("ab5", "no case id begins with 'ab5'"),
        ("0123456789012345", "no case id begins with '0123456789012345'"),
        ("1" * 700, "is neither an index"),
        ("@none.txt", "none.txt cannot be read: No such file"),
        ("@", "cannot be read"),
    ],
)
def test_cases_that_are_none(made: MadeSweep, named: str | list[int | str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        select(version(made), made.path, cases=named)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "names no case"),
        (b"# nothing\n\n", "names no case"),
        (b"index\n", "names no case"),
        (b"3\n\xff\xfe\n", "it is no text"),
        (b"3\nx\n", "'x' is neither"),
    ],
)
def test_files_without_cases(made: MadeSweep, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "cases.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        select(version(made), made.path, cases=f"@{path}")


def test_the_options_that_select() -> None:
    chosen = Selection(cases=[1, "ab"], where="x > 1", status=("failed",), last=2)
    assert str(chosen) == "--cases 1,ab --where 'x > 1' --status failed --last 2"
    assert len(str(Selection(cases=list(range(1000))))) < 100
    assert not Selection()
    assert bool(Selection(last=1))
