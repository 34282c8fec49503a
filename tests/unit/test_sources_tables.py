"""Tables: what a cell is, what is refused, and what one case costs."""

from __future__ import annotations

import datetime
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from hpcsweep import ids
from hpcsweep.sources import FileCases, TableSource, grid, source_from_manifest_dict, table
from tests.support.sourcing import frozen, refused

CSV = """\
x,n,text,flag,nothing
1.5,1,001,true,
-1e-3,-20,"a,b
c",False,x
.5,+3,1_000,TRUE,0x10
1e5,0,é,yes,1.
"""
ROWS = [
    {"x": 1.5, "n": 1, "text": "001", "flag": True, "nothing": None},
    {"x": -0.001, "n": -20, "text": "a,b\nc", "flag": False, "nothing": "x"},
    {"x": 0.5, "n": 3, "text": "1_000", "flag": "TRUE", "nothing": "0x10"},
    {"x": 100000.0, "n": 0, "text": "é", "flag": "yes", "nothing": 1.0},
]


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    source = table(written(tmp_path / "cases.csv", CSV), tags=["t"])
    assert json.dumps([case.params for case in source]) == json.dumps(ROWS)
    assert source[2].tags == ("t", "manual_2")
    assert source[-1].case_id == ids.case_id(ROWS[-1])
    assert source.names == {"x", "n", "text", "flag", "nothing"}


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\xef\xbb\xbfx,y\r\n1,2\r\n\r\n3,4\r\n")
    assert [case.params for case in table(path)] == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]


def test_jsonl(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS) + "\n"
    source = table(written(tmp_path / "cases.jsonl", text))
    assert json.dumps([case.params for case in source]) == json.dumps(ROWS)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "cases.parquet"
    columns = {
        "x": [1.5, 2.5],
        "n": [1, 2],
        "s": ["a", None],
        "v": [[1, 2], []],
        "b": [True, False],
    }
    parquet.write_table(pyarrow.table(columns), path)
    assert [case.params for case in table(path)] == [
        {"x": 1.5, "n": 1, "s": "a", "v": [1, 2], "b": True},
        {"x": 2.5, "n": 2, "s": None, "v": [], "b": False},
    ]


def test_frozen_tables_are_files_of_cases(tmp_path: Path) -> None:
    source = table(written(tmp_path / "cases.csv", CSV), ["t"])
    directory = tmp_path / "frozen"
    directory.mkdir()
    read = frozen(source, directory)
    assert isinstance(read, FileCases)
    assert list(read) == list(source)
    assert str(tmp_path) not in json.dumps(source.to_frozen_dict())


def test_manifest_dict(tmp_path: Path) -> None:
    described = {"type": "TableSource", "file": str(written(tmp_path / "cases.csv", CSV))}
    source = source_from_manifest_dict(described)
    assert source.to_manifest_dict() == {**described, "tags": [], "total_cases": 4}
    assert list(source_from_manifest_dict(source.to_manifest_dict())) == list(source)
    sources = [described, grid(k=[1, 2]).to_manifest_dict()]
    assert source_from_manifest_dict({"type": "ProductSource", "sources": sources}).n_cases == 8
    refused(lambda: source_from_manifest_dict({**described, "file": 3}), "source.file")
    refused(lambda: source_from_manifest_dict({**described, "file": "no.csv"}), "cannot be read")


def test_tables_are_read_by_seek(tmp_path: Path) -> None:
    """Also a table on the submit host; a worker has the frozen form of it."""
    count = 20_000
    text = "i,pad\n" + "".join(f"{i},{'x' * 200}\n" for i in range(count))
    source = table(written(tmp_path / "cases.csv", text))
    tracemalloc.start()
    try:
        assert source[count - 1].params["i"] == count - 1
        assert source[7].params["i"] == 7
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "x\n1\n", "a table in a '.txt'"),
        ("a.csv", "", "no cases"),
        ("a.csv", "x,y\n", "no cases"),
        ("a.csv", "x,x\n1,2\n", "two columns have the same name"),
        ("a.csv", "x,y\n1,2\n1\n", "a.csv:3: 1 cells under 2 columns"),
        ("a.csv", "x,y\n1,2\n3,4\n1.0,2\n", "the cases at 0 and 2 are the same"),
        ("a.csv", "x\nnan\n", "'nan' has no JSON form"),
        ("a.csv", "x\n1\n1e400\n", "a.csv:3: '1e400' has no JSON form"),
        ("a.csv", "x,y\n1, 2\n", "a.csv:2: ' 2' has a space beside it"),
        ("a.csv", "x,y\na, true\n", "' true' has a space beside it"),
        ("a.csv", "x, y\n1,2\n", "a.csv:1: the name ' y' has a space beside it"),
        ("a.jsonl", '{"x": 1}\n{"y": {"x": 1, "x": 2}}\n', "a.jsonl:2: not JSON: the key 'x' is"),
        ("a.csv", "x\n-Inf\n", "'-Inf' has no JSON form"),
        ("a.csv", "seed\n1\n", "'seed'"),
        ("a.csv", "x,\n1,2\n", "is not a parameter name"),
        ("a.csv", 'x\n"a\n', "cannot be read"),
        ("a.jsonl", '{"x": 1}\nx\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: [1] is a list"),
        ("a.jsonl", '{"x": NaN}\n', "row.x: nan has no JSON form"),
        ("a.jsonl", '{"x": 1}\n{"x": 1}\n', "the cases at 0 and 1 are the same"),
        ("a.parquet", "no parquet", "cannot be read"),
    ],
)
def test_refused_tables(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = written(tmp_path / name, text)
    refused(lambda: table(path), words)


def test_unreadable_tables(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        refused(lambda name=name: table(tmp_path / name), "cannot be read")  # type: ignore[misc]
    (tmp_path / "b.csv").write_bytes(b"x\n\xff\n")
    refused(lambda: table(tmp_path / "b.csv"), "cannot be read")


@pytest.mark.parametrize("value", [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), b"bytes"])
def test_values_of_parquet_without_identity(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"x": [value]}), path)
    refused(lambda: TableSource(path), "row 0", "no exact JSON form")


@pytest.mark.parametrize("kind", [pyarrow.float16(), pyarrow.float32()], ids=str)
def test_short_floats_of_parquet(tmp_path: Path, kind: pyarrow.DataType) -> None:
    """As numpy's: nobody can tell whether 0.1 or 0.10000000149011612 is meant."""
    path = tmp_path / "a.parquet"
    column = pyarrow.array([0.5], pyarrow.float64()).cast(pyarrow.float32()).cast(kind)
    parquet.write_table(pyarrow.table({"x": column}), path)
    refused(lambda: table(path), "'x'", "float64")


def test_the_first_of_several_equal_rows_is_named(tmp_path: Path) -> None:
    """Also behind a cell of two lines, and with more than one pair."""
    text = 'x,y\n1,"a\nb"\n2,c\n3,d\n2,c\n1,"a\nb"\n2,c\n'
    path = written(tmp_path / "a.csv", text)
    refused(lambda: table(path), "a.csv:6: the cases at 1 and 3 are the same")
