"""Collect: one row for every index, in order, from the sweep index and the source."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.cli.render.rows import print_table
from hpcsweep.errors import ExtraMissing, InputError, StoreError, SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.settings import Settings
from hpcsweep.sources import grid, manual
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest, fresh_index
from hpcsweep.sweep import Sweep
from hpcsweep.tables import arrow, formats
from hpcsweep.tables.collect import collect
from hpcsweep.tables.column_names import flatten
from hpcsweep.tables.columns import TableColumns, columns_of
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.sorting import RowOrder
from hpcsweep.tables.writing import format_of, table_writer
from tests.support.sweeps import MadeSweep

PYTHON = """\
def run(x, n=None, log=None):
    if x == 2:
        raise ValueError("no good")
    return {"y": {"deep": x / 2, "list": [x]}, "x": "a metric", "host": "taken", f"only{x}": x}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """Cases 0 to 5; the last two are in a task that never started."""
    source = manual([{"x": 0}, {"x": 1, "n": {"m": 1.5}}, *({"x": i} for i in (2, 3, 4, 5))])
    made = MadeSweep(tmp_path_factory.mktemp("collect"), source, python=PYTHON)
    made.plan(chunk_size=2)
    made.handed_in()
    for task in (0, 1):
        made.run(task)
    return made


@pytest.fixture
def made(template: MadeSweep, tmp_path: Path) -> MadeSweep:
    return template.copy(tmp_path)


def table(
    made: MadeSweep,
    *,
    columns: tuple[str, ...] = (),
    attempts: bool = False,
    **selection: Any,
) -> tuple[TableColumns, list[dict[str, Any]]]:
    found: list[Any] = []
    collect(
        made.directory,
        None,
        Settings(),
        lambda columns, rows: found.extend((columns, list(rows))),
        TableRequest(selection=Selection(**selection), columns=columns, attempts=attempts),
    )
    table_columns, rows = found
    return table_columns, rows


def test_a_row_for_every_index_in_order(made: MadeSweep) -> None:
    _, rows = table(made)
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["status"] for row in rows] == [
        "complete",
        "complete",
        "failed",
        "complete",
        "pending",
        "pending",
    ]
    assert rows[2]["reason"] == "error"
    assert rows[2]["error"] == "no good"
    assert [row["case_id"] for row in rows] == [case.case_id for case in made.source]


def test_nested_values_have_dotted_columns(made: MadeSweep) -> None:
    columns, rows = table(made)
    assert rows[1]["n.m"] == 1.5
    assert "n.m" not in rows[0]
    assert (rows[3]["y.deep"], rows[3]["y.list"]) == (1.5, [3])
    assert flatten({"a": {"b": {}, "c": {"d": []}}, "e": None}) == {
        ("a", "b"): {},
        ("a", "c", "d"): [],
        ("e",): None,
    }
    assert len(columns.names) == len(set(columns.names))


def test_a_param_and_a_metric_of_one_name_have_two_columns(made: MadeSweep) -> None:
    """The param x, the metric x; the column host and the metric host."""
    _, rows = table(made)
    assert (rows[1]["x"], rows[1]["metric.x"]) == (1, "a metric")
    assert (rows[1]["host"], rows[1]["metric.host"]) == ("n1", "taken")


def test_a_dot_in_a_name_is_no_level(tmp_path: Path) -> None:
    """Four values that would all be a.b have a column each."""
    python = 'def run(**params):\n    return {"a": {"b": 3}, "a.b": 4}\n'
    made = MadeSweep(tmp_path, manual([{"a": {"b": 1}, "a.b": 2}]), python=python)
    made.plan()
    made.handed_in()
    made.run(0)
    columns, (row,) = table(made)
    assert [row[name] for name in columns.names if "a.b" in name] == [1, 2, 3, 4]


def test_a_row_has_what_its_case_has(made: MadeSweep) -> None:
    columns, rows = table(made)
    assert {"only0", "only1", "only3"} < set(columns.names)
    assert [sorted(name for name in row if name.startswith("only")) for row in rows] == [
        ["only0"],
        ["only1"],
        [],
        ["only3"],
        [],
        [],
    ]
    assert "started" not in rows[5]
    assert rows[5]["x"] == 5


def test_selections(made: MadeSweep) -> None:
    _, rows = table(made, status=("failed", "pending"))
    assert [row["index"] for row in rows] == [2, 4, 5]
    columns, _ = table(made, columns=("x", "index"))
    assert columns.names == ["x", "index"]
    with pytest.raises(InputError, match="'nosuch' is not a column"):
        table(made, columns=("nosuch",))
    with pytest.raises(InputError, match="'done' is not a status"):
        table(made, status=("done",))


@pytest.fixture
def changed(made: MadeSweep) -> Iterator[MadeSweep]:
    """The code was changed since, and case 3 computed again."""
    target = made.root / "target.py"
    target.write_text(f"{PYTHON}\n# later\n")
    made.plan(IndexSet.of([3]), generation=1)
    made.handed_in(submission=2)
    made.run(0, submission=2)
    plan = made.directory.submission_dir(2) / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"code_files": ["target.py"]}))
    yield made
    target.write_text(PYTHON)


def test_cases_of_other_code_are_marked(
    changed: MadeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    """The column is there if it is named; a table on the screen marks the status."""
    taken: list[dict[str, Any]] = []
    assert "stale" not in table(changed)[0].names
    first = TableRequest(order=RowOrder(columns=("stale",), descending=True, limit=1))
    collect(changed.directory, None, Settings(), lambda _, rows: taken.extend(rows), first)
    assert [row["index"] for row in taken] == [0]
    assert csv_text(*table(changed, columns=("index", "stale"))).split() == [
        "index,stale",
        *("0,true", "1,true", "2,false", "3,false", "4,false", "5,false"),
    ]
    request = TableRequest(columns=("index", "status"))
    collect(changed.directory, None, Settings(), print_table, request)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "    0  complete *",
        "    1  complete *",
        "    2  failed",
        "    3  complete",
        "    4  pending",
        "    5  pending",
    ]


def test_the_code_of_cases_is_counted_by_digest(changed: MadeSweep) -> None:
    done = collect(changed.directory, None, Settings(), lambda *_: None)
    assert (done.code.stale, done.code.complete, len(done.code.other)) == (2, 3, 1)
    assert done.code.text("s") == "2 of 3 complete cases of s were computed with other code"
    digest = table(changed)[1][0]["code_digest"]
    assert done.code.other == {digest: 2}
    assert done.code.digests.startswith(f"2 with {digest[:8]}; it is ")
    many = CodeCounts(complete=20, other={f"{n:016x}": n for n in range(1, 6)})
    assert many.digests == "5 with 00000000, 4 with 00000000, 3 with 00000000, 3 with 2 others"
    assert CodeCounts(complete=2).text() == ""


def test_a_metric_may_have_the_name_of_a_column_on_demand(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]), python="def run(x): return {'stale': 'bread'}\n")
    made.plan()
    made.handed_in()
    made.run(0)
    columns, rows = table(made)
    assert "stale" in columns.names
    assert rows[0]["stale"] == "bread"


# --- attempts ------------------------------------------------------------------------------------


def test_a_row_for_every_attempt(made: MadeSweep) -> None:
    """Case 2 failed, and a later submission with more memory ran it again."""
    made.plan(IndexSet.of([2, 3]), generation=1, options={"mem": "3G", "time": "00:20:00"})
    made.handed_in(submission=2)
    made.run(0, submission=2)
    columns, rows = table(made, attempts=True)
    assert [(row["index"], row["attempt"], row["submission"], row["status"]) for row in rows] == [
        (0, 1, 1, "complete"),
        (1, 1, 1, "complete"),
        (2, 1, 1, "failed"),
        (2, 2, 2, "failed"),
        (3, 1, 1, "complete"),
        (3, 2, 2, "complete"),
    ]
    assert [row.get("asked_mem") for row in rows] == [None, None, None, "3G", None, "3G"]
    assert [row["asked_cpus"] for row in rows] == [1] * 6
    assert all(row["wall_seconds"] > 0 and row["max_rss_bytes"] > 0 for row in rows)
    assert (rows[3]["x"], rows[3]["reason"], rows[3]["host"]) == (2, "error", "n1")
    assert csv_text(columns, rows[:1]).startswith("index,case_id,replicate,attempt,submission,")
    _, some = table(made, attempts=True, where="y.deep > 1", columns=("index", "asked_time"))
    assert [(row["index"], row.get("asked_time")) for row in some] == [(3, None), (3, "00:20:00")]
    with pytest.raises(InputError, match=r"'y\.deep' is not a column"):
        table(made, attempts=True, columns=("y.deep",))


def test_the_logs_of_a_case_tell_its_attempts(made: MadeSweep) -> None:
    made.plan(IndexSet.of([2]), generation=1, options={"mem-per-cpu": "1G", "time": "00:20:00"})
    made.handed_in(submission=2)
    made.run(0, submission=2)
    first, second = made.logs(2).attempts
    assert re.fullmatch(
        r"attempt 1 \(submission 1\): failed: error; used \d+ MiB, [\d.e-]+ s, .* s of CPU; on n1",
        first,
    )
    assert second.startswith(
        "attempt 2 (submission 2): failed: error; asked for mem 1G per CPU, time 00:20:00; used "
    )
    assert made.logs(5).attempts == []


# --- while the sweep runs ------------------------------------------------------------------------


def test_a_case_that_begins_during_collect_has_one_row(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task ingests its cases after the outlook was taken and before the rows are read."""
    calls = []

    def learn_columns(sweep_index: SweepIndex, cases: Any) -> TableColumns:
        columns = columns_of(sweep_index, cases)
        calls.append(sweep_index)
        if len(calls) == 1:
            made.run(2)
            Ingest(made.directory, sweep_index).run()
        return columns

    monkeypatch.setattr("hpcsweep.tables.collect.columns_of", learn_columns)
    columns, found = table(made)
    assert len(calls) == 1
    assert [row["index"] for row in found] == list(range(6))
    assert found[4]["status"] == "complete"
    # Its metric has no column yet: the next collect knows it.
    assert "only4" not in columns.names
    assert "only4" not in found[4]
    assert "only4" in table(made)[0].names


def test_a_slow_taker_keeps_no_task_from_ingesting(made: MadeSweep) -> None:
    made.run(2)

    def take(_: TableColumns, rows: Iterator[dict[str, Any]]) -> None:
        next(rows)
        sweep_index = SweepIndex(made.path / "store.sqlite3", made.directory.key)
        made.run(0, restart=1)
        assert Ingest(made.directory, sweep_index).run().records > 0
        assert len(list(rows)) == 5

    collect(made.directory, None, Settings(), take)


def test_an_index_that_is_deleted_meanwhile(made: MadeSweep) -> None:
    """A sentence; the next collect makes it again."""

    def take(_: TableColumns, rows: Iterator[dict[str, Any]]) -> None:
        (made.path / "store.sqlite3").unlink()
        list(rows)

    with pytest.raises(StoreError, match="the index was removed while it was used") as caught:
        collect(made.directory, None, Settings(), take)
    assert "makes another one from the journals" in caught.value.next_step
    assert [row["index"] for row in table(made)[1]] == list(range(6))


# --- as text -------------------------------------------------------------------------------------


def csv_text(columns: TableColumns, rows: list[dict[str, Any]]) -> str:
    return "".join(formats.csv_lines(columns, rows))


def test_csv_goes_through_a_reader(made: MadeSweep) -> None:
    columns, rows = table(made)
    text = csv_text(columns, rows)
    assert "\r" not in text
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["index"] for row in read] == list("012345")
    for row, known in zip(read, rows, strict=True):
        assert {name: value for name, value in row.items() if value} == {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in known.items()
            if value != ""
        }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (1e-05, "1e-05"),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (2**70, str(2**70)),
        (True, "true"),
        ("é", "é"),
        ([1, "ä"], '[1, "ä"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_a_cell(value: Any, text: str) -> None:
    assert formats.cell(value) == text


def test_odd_text_stays_one_cell() -> None:
    names = ["a", "b"]
    columns = TableColumns(params={}, metrics={}, kinds=dict.fromkeys(names, "str"), names=names)
    rows = [{"a": 'x,"y"\nz', "b": "\r"}, {"b": "é;\t"}]
    read = list(csv.reader(io.StringIO(csv_text(columns, rows), newline="")))
    assert read == [["a", "b"], ['x,"y"\nz', "\r"], ["", "é;\t"]]


def test_json_lines(made: MadeSweep) -> None:
    columns, rows = table(made)
    lines = list(formats.jsonl_lines(columns, rows))
    assert [json.loads(line) for line in lines] == rows
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "one\n"
        assert list(tmp_path.glob("out.csv")) == []
        yield "two\n"

    formats.write(lines(), tmp_path / "out.csv", io.StringIO())
    assert (tmp_path / "out.csv").read_text() == "one\ntwo\n"
    with pytest.raises(SweepError, match="cannot be written: No such file"):
        formats.write(["x"], tmp_path / "none" / "out.csv", io.StringIO())
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


def test_a_device_or_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        formats.write(["one\n"], pipe, io.StringIO())
        assert os.read(reader, 100) == b"one\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert [one.name for one in tmp_path.iterdir()] == ["pipe.csv"]


def test_a_table_of_nothing_has_its_header(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]))
    made.plan()
    with fresh_index(made.directory):
        pass
    columns, rows = table(made)
    assert [(row["index"], row["status"], row["x"]) for row in rows] == [(0, "pending", 1)]
    assert csv_text(columns, []).startswith("index,case_id,replicate,status,reason,x,seed")


def test_parquet_takes_ints_that_are_no_floats(tmp_path: Path) -> None:
    """In a column of floats, where exactness ends with them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = {"mixed": "float", "whole": "int", "big": "json", "label": "json"}
    columns = TableColumns(params={}, metrics={}, kinds=kinds, names=list(kinds))
    rows: list[dict[str, Any]] = [
        {"mixed": 2**60 + 1, "whole": 2**60 + 1, "big": 2**70, "label": "a"},
        {"mixed": 0.5, "whole": None, "label": 1},
        {},
    ]
    arrow.write_parquet(columns, iter(rows), tmp_path / "a.parquet")
    found = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert found == {
        "mixed": [2.0**60, 0.5, None],
        "whole": [2**60 + 1, None, None],
        "big": [str(2**70), None, None],
        "label": ["a", "1", None],  # as in CSV: without quotes
    }


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    columns = TableColumns(params={}, metrics={}, kinds={}, names=[])
    with pytest.raises(ExtraMissing, match=r"hpcsweep\[parquet\]"):
        arrow.write_parquet(columns, iter(()), tmp_path / "a.parquet")


def test_a_frame_keeps_ints_where_a_case_has_none(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    frame = Sweep(str(made.path)).to_dataframe(columns=["index", "only1", "only1", "y.deep"])
    assert [str(kind) for kind in frame.dtypes] == ["int64", "Int64", "float64"]
    assert frame["only1"].dropna().tolist() == [1]


def test_queries_take_selections(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    sweep = Sweep(str(made.path))
    rows = sweep.query("x > 0", cases="0-4", status="complete", last=1, columns=["index"])
    assert rows == [{"index": 1}, {"index": 3}]
    rows = sweep.query(cases=[2, 4], attempts=True, columns=["index", "attempt", "asked_cpus"])
    assert rows == [{"index": 2, "attempt": 1, "asked_cpus": 1}]
    assert sweep.query("x > 99") == []
    assert "failed: error: no good" in sweep.logs(made.source[2].case_id[:12])


def test_csv_for_spreadsheets_has_no_formula() -> None:
    """Texts get an apostrophe, in a column of numbers and texts too; numbers stay numbers."""
    kinds = {"=name": "str", "mixed": "json", "energy": "float"}
    columns = TableColumns(params={}, metrics={}, kinds=kinds, names=list(kinds))
    texts = ["=1+1", "+1", "-x", "@sum", "\ta", "\rb", "a=b", "", None, "\n=1", "\uff1d1"]
    mixed = [-1.5, -2, "-3", True, [-1], -1e300, "x", None, 0, 1, 2]
    rows = [{"=name": a, "mixed": b, "energy": -0.5} for a, b in zip(texts, mixed, strict=True)]
    lines = formats.csv_lines(columns, rows, for_spreadsheets=True)
    read = list(csv.reader(io.StringIO("".join(lines), newline="")))
    assert read[0] == ["'=name", "mixed", "energy"]
    assert [row[0] for row in read[1:]] == [
        *("'=1+1", "'+1", "'-x", "'@sum", "'\ta", "'\rb", "a=b", "", "", "'\n=1", "'\uff1d1")
    ]
    assert [row[1] for row in read[1:]] == [
        *("-1.5", "-2", "'-3", "true", "[-1]", "-1e+300", "x", "", "0", "1", "2")
    ]
    assert {row[2] for row in read[1:]} == {"-0.5"}
    assert csv_text(columns, rows[:1]) == "=name,mixed,energy\n=1+1,-1.5,-0.5\n"


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    lines = ["x,y\n", "1,\u00e9\n", "2,\ud800\n"]
    for path in (tmp_path / "a.csv.gz", tmp_path / "b.csv.GZ", tmp_path / "a.csv"):
        formats.write_file(lines, path)
    assert (
        gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()
    )
    assert (tmp_path / "b.csv.GZ").read_bytes() == (tmp_path / "a.csv.gz").read_bytes()
    forms = [format_of(Path(name)) for name in ("a.csv.gz", "a.jsonl.gz", "a.gz", "a.parquet")]
    assert forms == ["csv", "jsonl", "csv", "parquet"]
    for name in ("a.parquet.gz", "a.txt.gz", "a.csv.bz2"):
        with pytest.raises(InputError, match="no format is known"):
            format_of(Path(name))


def test_parquet_has_no_name_of_gzip(tmp_path: Path) -> None:
    """The suffix would say that gunzip unpacks it."""
    with pytest.raises(InputError, match="Parquet compresses its columns itself"):
        table_writer(tmp_path / "y.csv.gz", "parquet")
    assert not list(tmp_path.iterdir())
