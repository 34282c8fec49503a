"""Tables: what a cell is, what is refused, and what one case costs."""

from __future__ import annotations

import datetime
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from hpcsweep import ids, target
from hpcsweep.manifest.frozen import Target
from hpcsweep.sources import (
    FileCases,
    ParameterSource,
    TableSource,
    grid,
    source_from_manifest_dict,
    table,
    textfiles,
    zip_,
)
from hpcsweep.sources.textfiles import encoding_error
from tests.support.sourcing import frozen, refused

CSV = """\
x,n,text,flag,nothing
1.5,1,001,true,
-1e-3,-20,"a,b
c",False,x
.5,3,1_000,TRUE,0x10
1e5,0,é,yes,1.
"""
ROWS = [
    {"x": 1.5, "n": 1, "text": "001", "flag": "true", "nothing": None},
    {"x": -0.001, "n": -20, "text": "a,b\nc", "flag": "False", "nothing": "x"},
    {"x": 0.5, "n": 3, "text": "1_000", "flag": "TRUE", "nothing": "0x10"},
    {"x": 100000.0, "n": 0, "text": "é", "flag": "yes", "nothing": "1."},
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


COLUMNS: list[tuple[list[str], list[Any]]] = [
    (["1E5", "S2", "3"], ["1E5", "S2", "3"]),  # names of samples
    (["1E5", "2.50", "3"], [100000.0, 2.5, 3.0]),
    (["000", "100"], ["000", "100"]),
    (["1", "2", "-0"], [1, 2, 0]),
    (["1", "+2", "-0"], ["1", "+2", "-0"]),
    (["0.5", "+1.5"], ["0.5", "+1.5"]),
    (["TRUE", "FALSE"], [True, False]),
    (["true", "False", ""], [True, False, None]),
    (["TRUE", "1"], ["TRUE", "1"]),
    (["0.5", "NA", "nan", "NULL", "#N/A", ""], [0.5, None, None, None, None, None]),
    (["1", "NaN"], [1, None]),
    (["TRUE", "NA"], [True, None]),
    (["NA", "DE", "", "#N/A"], ["NA", "DE", None, None]),  # Namibia, Germany
    (["NA", "N/A"], [None, None]),
    (["inf", "sup"], ["inf", "sup"]),
    (["0x10", "1"], ["0x10", "1"]),
    (["1.5D-03", "1"], ["1.5D-03", "1"]),
    (["a ", " 1"], ["a ", " 1"]),
    (["9" * 601, "1"], ["9" * 601, "1"]),
]


@pytest.mark.parametrize(("texts", "values"), COLUMNS, ids=[" ".join(a)[:30] for a, _ in COLUMNS])
def test_a_column_has_one_type(tmp_path: Path, texts: list[str], values: list[Any]) -> None:
    """Told by all of its cells, not by each; and a command gets each cell as it is written."""
    rows = "".join(f"{number},{text}\n" for number, text in enumerate(texts))
    source = table(written(tmp_path / "cases.csv", f"i,x\n{rows}"))
    assert json.dumps([case.params["x"] for case in source]) == json.dumps(values)
    command = Target(argv=("{x}",))
    directory = tmp_path / "frozen"
    directory.mkdir()
    for one in (source, frozen(source, directory)):
        got = [target.command_line(command.argv, case.params, {}, case.written) for case in one]
        assert got == [(text,) for text in texts]


def test_sources_of_tables_keep_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through each kind of view and composition, and back from the frozen manifest."""
    code = "def halved(params):\n    return params if params['x'] > 1 else {'x': params['x'] / 2}\n"
    written(tmp_path / "users_halves.py", code)
    monkeypatch.syspath_prepend(tmp_path)
    rows = table(written(tmp_path / "cases.csv", "x\n0.10\n1E5\n"))
    pair = table(written(tmp_path / "pair.csv", "y\n-0\n2\n"))
    wanted = [{"x": "0.10"}, {"x": "1E5"}]
    sources: dict[str, tuple[ParameterSource, list[dict[str, str]]]] = {
        "slice": (rows[::-1], wanted[::-1]),
        "take": (rows.take([1]), wanted[1:]),
        "shuffle": (rows.shuffle(7).shuffle(7), wanted),
        "fixed": (rows.with_params(k=1), wanted),
        "repeat": (rows.repeat(2), [wanted[0], wanted[0], wanted[1], wanted[1]]),
        "concat": (rows + grid(k=[1]), [*wanted, {}]),
        "zip": (zip_(rows, pair), [{"x": "0.10", "y": "-0"}, {"x": "1E5"}]),
        "product": (grid(k=[1.5]) * pair * rows[:1], [{"y": "-0", "x": "0.10"}, {"x": "0.10"}]),
        "derive": (rows.derive("users_halves:halved"), [{}, wanted[1]]),
    }
    for name, (source, expected) in sources.items():
        directory = tmp_path / name
        directory.mkdir()
        for one in (source, frozen(source, directory)):
            found = [case.written for case in one]
            assert sorted(found, key=str) == sorted(expected, key=str), name
            assert found == [one[index].written for index in range(len(one))], name
            assert found == [one.written(index) for index in range(len(one))], name


def test_tables_in_json_spelling_are_frozen_as_ever(tmp_path: Path) -> None:
    """Their sweeps keep fingerprints; and cases frozen without what is written can be read."""
    source = table(written(tmp_path / "cases.csv", "x,s\n1,a\n2,b\n"))
    described = source.to_frozen_dict()
    assert described == {
        "type": "ManualSource",
        "file": "cases.jsonl",
        "first": 0,
        "names": ["s", "x"],
        "tags": [],
        "total_cases": 2,
    }
    source.write_frozen(tmp_path)
    assert (tmp_path / "cases.jsonl").read_bytes() == b'{"x":1,"s":"a"}\n{"x":2,"s":"b"}\n'
    assert [case.written for case in source_from_manifest_dict(described, tmp_path)] == [{}, {}]


def test_the_spelling_is_no_identity(tmp_path: Path) -> None:
    first = table(written(tmp_path / "a.csv", "x\n0.1\n"))
    other = table(written(tmp_path / "b.csv", "x\n0.10\n"))
    assert first[0].case_id == other[0].case_id
    assert first.frozen()[1] != other.frozen()[1]  # yet the program gets something else


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
        ("a.txt", "x\n1\n", "unknown format of a table: .txt"),
        ("a.csv", "", "no cases"),
        ("a.csv", "x,y\n", "no cases"),
        ("a.csv", "x,y,x\n1,2,3\n", "a.csv:1: two columns have the same name: 'x', the columns 1"),
        ("a.tsv", "x\ty\n1,2\n", "a.tsv:2: 1 cell under 2 columns"),
        ("a.tsv", "x,y\n1,2\n", "the columns are separated by ','"),
        ("a.csv", "x,y\n1,2\n1\n", "a.csv:3: 1 cell under 2 columns"),
        ("a.csv", "x,y\n1,2\n3,4\n1.0,2\n", "the cases at 0 and 2 are the same"),
        ("a.csv", "x\n1\ninf\n", "a.csv:3: 'inf' has no JSON form"),
        ("a.csv", "x\n1\n#DIV/0!\n", "a.csv:3: #DIV/0! is the error of a formula"),
        ("a.csv", "x\n0.5\n9007199254740993\n", "a.csv:3: '9007199254740993' has more digits"),
        ("a.csv", "x\n1e-400\n", "a.csv:2: '1e-400' is too small for a float"),
        ("a.csv", "x,y\n1,\n2, \n", "a.csv:3: ' ' has a space beside it"),
        ("a.csv", "x;y\n1;2\n", "the columns are separated by ';'"),
        ("a.csv", "x\ty\n1\t2\n", "the columns are separated by '\\t'"),
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
        ("a.jsonl", "[1]\n", "a.jsonl:1: [1] has the type list"),
        ("a.jsonl", '{"x": NaN}\n', "row.x: nan has no JSON form"),
        ("a.jsonl", '{"x": 1}\n{"x": 1}\n', "the cases at 0 and 1 are the same"),
        ("a.parquet", "no parquet", "cannot be read"),
    ],
)
def test_refused_tables(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = written(tmp_path / name, text)
    refused(lambda: table(path), words)


def test_unreadable_tables(tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv", "a.xlsx", "a.jsonl", "a.parquet"):
        refused(lambda name=name: table(tmp_path / name), "cannot be read")  # type: ignore[misc]
    (tmp_path / "b.csv").write_bytes(b"x\n" + b"\xc3\xa9\n" * 9000 + b"\xff\n")
    refused(lambda: table(tmp_path / "b.csv"), "b.csv:9002: is not UTF-8", "CSV UTF-8")


def test_tables_that_gzip_compresses(tmp_path: Path) -> None:
    texts = {"a.csv": "x,y\n1,a\n2,b\n", "a.jsonl": '{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n'}
    for name, text in texts.items():
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(text.encode()))
        assert [case.params for case in table(path)] == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        refused(lambda path=path: list(table(path)), "cannot be read", "damaged")  # type: ignore[misc]
        path.write_bytes(b"x,y\n1,a\n")
        refused(lambda path=path: list(table(path)), "cannot be read", "gzip")  # type: ignore[misc]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"x\n1\n\xff\n"))
    refused(lambda: table(tmp_path / "b.csv.gz"), "b.csv.gz:3: is not UTF-8")
    refused(
        lambda: table(tmp_path / "a.parquet.gz"), "unknown format of a table: .parquet.gz", ".csv"
    )


def test_damage_of_gzip_is_no_mistake_in_its_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"x,y\n1,2\n", compresslevel=0)  # has the text as it is
    assert b"1,2" in whole
    for data in (
        whole.replace(b"1,2", b"1,,"),  # three cells under two columns
        whole.replace(b"1,2", b"1,\xff"),
        gzip.compress(b"x,y\n1,\xff\n")[:-9],
        b"",
    ):
        path.write_bytes(data)
        refused(lambda: table(path), "a.csv.gz", "cannot be read: it is no gzip, or damaged")
    refused(lambda: table(path), "it has 0 bytes")


def test_a_file_that_is_damaged_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"x\n\xff\n")[:12])
    error = encoding_error(path, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    assert "cannot be read: it is no gzip, or damaged" in str(error)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_line_without_end_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textfiles, "LINE_MAX", 100)
    path = tmp_path / name
    path.write_bytes(gzip.compress(b'{"x": 1}\n' + b"1" * 100))
    refused(lambda: list(table(path)), ":2: the line has 100 characters or more")


@pytest.mark.parametrize("value", [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), b"bytes"])
def test_values_of_parquet_without_identity(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"x": [value]}), path)
    refused(lambda: TableSource(path), "row 0", "no exact JSON form")


@pytest.mark.parametrize("kind", [pyarrow.float16(), pyarrow.float32()], ids=str)
def test_short_floats_of_parquet(tmp_path: Path, kind: pyarrow.DataType) -> None:
    """As numpy's: nobody can tell whether 0.1 or 0.10000000149011612 is meant."""
    path = tmp_path / "a.parquet"
    half = kind.to_pandas_dtype()(0.5)
    column = pyarrow.array([half], kind)
    parquet.write_table(pyarrow.table({"x": column}), path)
    refused(lambda: table(path), "'x'", "float64")
    nested = pyarrow.array([{"of": [half]}], pyarrow.struct([("of", pyarrow.list_(kind))]))
    parquet.write_table(pyarrow.table({"x": nested}), path)
    refused(lambda: table(path), "'x'", "float64")


def test_equal_names_of_parquet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = [pyarrow.array([1]), pyarrow.array([2])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=["x", "x"]), path)
    refused(lambda: table(path), "two columns have the same name: 'x'")


def test_the_first_of_several_equal_rows_is_named(tmp_path: Path) -> None:
    """Also behind a cell of two lines, and with more than one pair."""
    text = 'x,y\n1,"a\nb"\n2,c\n3,d\n2,c\n1,"a\nb"\n2,c\n'
    path = written(tmp_path / "a.csv", text)
    refused(lambda: table(path), "a.csv:6: the cases at 1 and 3 are the same")
