"""Sheets as people have them: separators, decimal commas, workbooks, and types that are given."""

from __future__ import annotations

import datetime
import os
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from hpcsweep.errors import SourceError
from hpcsweep.sources import grid, linspace, source_from_manifest_dict, table, workbooks
from tests.support.sourcing import frozen, refused


def workbook(path: Path, *sheets: tuple[str, list[list[Any]]]) -> Path:
    """A workbook with these sheets, as openpyxl writes it: formulas have no values."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def params(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [case.params for case in table(path, **options)]


def test_separators_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "de.csv"
    path.write_bytes('\ufeffname;dosis;n\r\nä;0,5;1\r\n"b;c";-1,5e-3;2\r\n'.encode())
    assert params(path, delimiter=";", decimal=",") == [
        {"name": "ä", "dosis": 0.5, "n": 1},
        {"name": "b;c", "dosis": -0.0015, "n": 2},
    ]
    source = table(path, delimiter=";", decimal=",")
    assert source.written(0) == {"dosis": "0,5"}
    # Without the decimal mark, and with a point beside it, these are no numbers.
    assert params(path, delimiter=";")[0]["dosis"] == "0,5"
    path.write_text("x;y\n1.5;1\n2,5;2\n")
    assert [row["x"] for row in params(path, delimiter=";", decimal=",")] == ["1.5", "2,5"]


def test_tsv(tmp_path: Path) -> None:
    path = tmp_path / "cases.TSV"
    path.write_text('sample\tdose\ns1\t0.5\n"s 2"\t\n')
    assert params(path) == [{"sample": "s1", "dose": 0.5}, {"sample": "s 2", "dose": None}]


def test_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("country,x,s\nNA,1,-\n-,-,\n")
    assert params(path, missing="-") == [
        {"country": "NA", "x": 1, "s": None},
        {"country": None, "x": None, "s": None},
    ]
    assert params(path, missing=["NA", "-"])[0]["country"] is None
    assert params(path)[0] == {"country": "NA", "x": "1", "s": "-"}


def test_types_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("well,n,x,on,free\n1,1,1,TRUE,1\n2,,2.5,false,2\n")
    types = {"well": "text", "n": "integer", "x": "number", "on": "boolean"}
    source = table(path, types=types)
    assert [case.params for case in source] == [
        {"well": "1", "n": 1, "x": 1.0, "on": True, "free": 1},
        {"well": "2", "n": None, "x": 2.5, "on": False, "free": 2},
    ]
    assert source.column_types == types | {"free": "integer"}
    described = source.to_manifest_dict()
    assert described["types"] == types
    assert list(source_from_manifest_dict(described)) == list(source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"types": {"s": "integer"}},
            "a.csv:3: '1_0' in the column 's' is not of the type int",
        ),
        ({"types": {"x": "boolean"}}, "a.csv:3: '2' in the column 'x' is not of the type boolean"),
        ({"types": {"y": "text"}}, "`types` names 'y', which is not a column"),
        ({"types": {"x": "int"}}, "types.x: 'int' is not a type"),
        ({"types": ["x"]}, "is not a mapping of columns"),
        ({"delimiter": ";;"}, "';;' is not a delimiter"),
        ({"delimiter": "x"}, "'x' is not a delimiter"),
        ({"decimal": ";"}, "is not a decimal mark"),
        ({"missing": [1]}, "is not a list of texts"),
        ({"sheet": "a"}, "`sheet` says nothing of a .csv file"),
        ({"sheets": "a"}, "unknown key 'sheets'"),
    ],
)
def test_refused_keys(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,s\n1,5\n2,1_0\n")
    refused(lambda: table(path, **options), words)


def test_types_of_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": 1, "v": [1], "m": 1, "z": null}\n{"x": 2.5, "v": [], "m": "b"}\n')
    types = {"x": "number", "v": "list", "m": "mixed", "z": "empty"}
    assert table(path).column_types == types
    refused(lambda: table(path, types={"x": "text"}), "`types` says nothing of a .jsonl file")


# --- workbooks ------------------------------------------------------------------------------------

ROWS: list[list[Any]] = [
    ["sample", "barcode", "plate", "dose", "n", "on", "day"],
    ["s1", "007", "1", 0.5, 1, True, datetime.datetime(2026, 1, 31)],  # noqa: DTZ001  # as Excel's
    [],
    ["1E5", "100", "2", 2, 2.0, False, None],
]


def test_workbooks(tmp_path: Path) -> None:
    path = workbook(tmp_path / "plate.xlsx", ("first", ROWS), ("second", [["x"], [1], [2]]))
    source = table(path)
    # What the workbook calls a text is one, though it looks like a number.
    rows = [
        ["s1", "007", "1", 0.5, 1, True, "2026-01-31"],
        ["1E5", "100", "2", 2.0, 2, False, None],
    ]
    assert [list(case.params.values()) for case in source] == rows
    assert source.column_types["plate"] == "text"
    assert params(path, sheet="second") == [{"x": 1}, {"x": 2}]
    assert params(path, types={"day": "text"}, missing="007")[0]["barcode"] is None
    directory = tmp_path / "frozen"
    directory.mkdir()
    assert list(frozen(source, directory)) == list(source)
    refused(lambda: table(path, sheet="third"), "has no sheet 'third'", "first, second")


def test_durations_of_a_workbook_are_written_as_it_shows_them(tmp_path: Path) -> None:
    times = [datetime.timedelta(hours=30, seconds=5), datetime.timedelta(milliseconds=1500)]
    path = workbook(tmp_path / "a.xlsx", ("a", [["t"], *([time] for time in times)]))
    assert params(path) == [{"t": "30:00:05"}, {"t": "0:00:01.500000"}]


def test_numbers_beside_texts_in_a_workbook(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("a", [["well"], [1], ["B2"], [2.5], [3.0]]))
    assert [row["well"] for row in params(path)] == ["1", "B2", "2.5", "3"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["x", "y"], [1, 2], [2, "=A2+1"]], "sheet 'a', cell B3: =A2+1 is a formula without"),
        ([["x", "y"], [1, 2], [2, 3, 4]], "sheet 'a', row 3: 3 cells under 2 columns"),
        ([["x", "x"], [1, 2]], "row 1: two columns have the same name: 'x'"),
        ([["x", None, "y"], [1, 2, 3]], "is not a parameter name"),
        ([["x"], [1], [1]], "row 3: the cases at 0 and 1 are the same"),
        ([["x"], [1], ["#DIV/0!"]], "row 3: #DIV/0! is the error of a formula"),
        ([["x"]], "no cases"),
        ([], "no cases"),
    ],
)
def test_refused_workbooks(tmp_path: Path, rows: list[list[Any]], words: str) -> None:
    path = workbook(tmp_path / "a.xlsx", ("a", rows))
    refused(lambda: table(path), words)


def test_a_formula_with_its_value(tmp_path: Path) -> None:
    path = workbook(tmp_path / "plain.xlsx", ("a", [["x"], ["=1+1"], [3]]))
    computed = tmp_path / "computed.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(computed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>"))
    assert params(computed) == [{"x": 2}, {"x": 3}]


@pytest.mark.parametrize("data", [b"", b"PK\3\4x", b"\xd0\xcf\x11\xe0 an old .xls"])
def test_what_is_no_workbook(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(data)
    refused(lambda: table(path), "cannot be read as a workbook", "CSV UTF-8")


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx", ("a", [["x"], [1]]))
    monkeypatch.setattr(workbooks, "openpyxl", None)
    refused(lambda: table(path), 'pip install "hpcsweep[excel]"', "CSV UTF-8")


def test_a_line_without_values_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n,\n\n3,\n,\n")
    assert params(path) == [{"a": 1, "b": 2}, {"a": 3, "b": None}]
    path.write_text("a,,c\n1,2,3\n")
    with pytest.raises(SourceError, match=r"a.csv:1: column 2 has no name"):
        params(path)


def test_a_hidden_sheet_is_read_if_it_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("old", [["z"], [1]]), ("new", [["a"], [5]]))
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert params(path) == [{"a": 5}]
    assert params(path, sheet="old") == [{"z": 1}]


def test_merged_cells_are_refused(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx", ("one", [["z"]]), ("two", [["s", "g"], ["a", "x"], ["b"], ["c", "y"]])
    )
    book = openpyxl.load_workbook(path)
    book["two"].merge_cells("D2:E9")  # beside the table
    book.save(path)
    assert [row["g"] for row in params(path, sheet="two")] == ["x", None, "y"]
    book["two"].merge_cells("B2:B3")
    book.save(path)
    with pytest.raises(SourceError, match=r"sheet 'two': the cells B2:B3 are merged"):
        params(path, sheet="two")


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        ("x\n1\n.\n2.5\n", [":3: '.' makes x"]),
        ("x,t\nm,s\n1,2\n", [":2: 'm' makes x", ":2: 's' makes t"]),
        ("x\nTRUE\nmaybe\n", [":3: 'maybe' makes x"]),
        ("x\n" + "a\n" * 2000 + "1\n", []),  # names, of which one looks like a number
        ("x\na\nb\n", []),
        ("x\n1\nNA\n", []),
    ],
)
def test_a_cell_that_makes_its_column_one_of_texts(
    tmp_path: Path, content: str, notes: list[str]
) -> None:
    path = tmp_path / "cases.csv"
    header, *rows = content.splitlines()
    numbered = (f"{n},{row}" for n, row in enumerate(rows))  # no row is twice
    path.write_text("\n".join([f"n,{header}", *numbered]))
    source = table(path)
    assert [note.partition(" a column")[0] for note in source.cell_notes()] == [
        f"{path}{note}" for note in notes
    ]
    assert source.column_notes()[1:] == source.cell_notes()
    assert table(path, types=dict.fromkeys(header.split(","), "text")).cell_notes() == []


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["T", "F"], ":2: 'T' in x is a text; for true and false write `types: {x: boolean}`"),
        (["yes", "No"], ":2: 'yes' in x is a text; for true and false"),
        (["TRUE", "yes"], ":3: 'yes' in x is a text; for true and false"),
        (["TRUE", "0"], ":3: '0' in x is a text; for true and false"),
        (["10%", "5.5 %"], ":2: '10%' in x is a text and no number"),
        (["0.5", "1'000"], ':3: "1\'000" in x is a text and no number'),
        (["500", "1,000"], ":3: '1,000' in x is a text and no number"),
        (["\u22125", "-4"], ":2: '\u22125' in x is a text and no number"),
        (["1.234.567,5", "2,5"], ":2: '1.234.567,5' in x is a text and no number"),
        (["1.2.3", "1.10.0"], None),
        (["01.02.2024", "192.168.0.1"], None),
        (["1", "T"], ":3: 'T' makes x a column of texts; where it means no value"),
        (["TRUE", "0.5"], ":3: '0.5' makes x a column of texts"),
        (["A", "T"], None),
        (["007", "008"], None),
        (["2024-01-31", "1.2.3-rc"], None),
    ],
)
def test_texts_that_people_take_for_something_else_are_noted(
    tmp_path: Path, cells: list[str], note: str | None
) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("n,x\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells)))
    notes = table(path).cell_notes()
    assert len(notes) == (note is not None)
    assert all(sentence.startswith(f"{path}{note}") for sentence in notes)
    is_number = "no number" in str(note)
    assert all(("`types: {x: text}`" in sentence) == is_number for sentence in notes)
    assert not table(path, types={"x": "text"}).cell_notes()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([10, 20, "16o"], "'16o'"),
        ([1.5, "2,5", "3,5"], "'2,5'"),
        ([5, "None"], "'None'"),
        ([10, "auto"], None),
        (["16o", "10"], None),
        ([True, "1x"], None),
    ],
)
def test_texts_among_the_numbers_of_a_grid_are_noted(values: list[Any], text: str | None) -> None:
    source = grid(a=values, b=linspace(0, 1, 3)).repeat(2)
    notes = source.cell_notes()
    place = next((n for n, value in enumerate(values) if repr(value) == text), None)
    assert len(notes) == (text is not None)
    assert all(note.startswith(f"grid.a[{place}]: {text} in a is a text") for note in notes)
    assert source.column_notes() == notes


def test_a_column_that_is_said_to_be_boolean_takes_the_words_for_it(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    words = ["T", "yes", "Y", "1", "TRUE", "F", "NO", "n", "0", "false", ""]
    path.write_text("n,x\n" + "".join(f"{n},{word}\n" for n, word in enumerate(words)))
    source = table(path, types={"x": "boolean"})
    assert [case.params["x"] for case in source] == [True] * 5 + [False] * 5 + [None]
    assert source.written(1) == {"x": "yes"}  # which a command gets
    path.write_text("n,x\n1,T\n2,maybe\n")
    refused(lambda: table(path, types={"x": "boolean"}), "'maybe' in the column 'x' is not of")


def test_empty_cells_and_lines_around_a_table_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\r\n,,,\r\nx,y,,\r\n1,2,,\r\n3,4\r\n5,6,,,,\r\n")
    assert params(path) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 6}]
    path.write_text("x,y,,\n1,2,,note\n")
    error = refused(lambda: table(path), "column 4 has no name")
    assert error.where == f"{path}:2"
    path.write_text("\nx,y\n1,2,3\n")
    assert "row.names = FALSE" in refused(lambda: table(path), ":3", "3 cells under 2").next_step
    path.write_text("My results\nx,y\n1,2\n")
    assert "A title is no header" in refused(lambda: table(path), ":2", "2 cells").next_step
    path.write_text("My results,,\n,,\nx,y,z\n1,2,3\n")  # as spreadsheets save it
    assert "A title is no header" in refused(lambda: table(path), ":3", "column 2").next_step


def test_blanks_around_a_table_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(" \n , \n\t\nx,y, \n1,2, \n3,4\n5,6, ,\n")
    assert params(path) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 6}]
    book = workbook(tmp_path / "a.xlsx", ("a", [[" "], ["x", "y", " "], [1, 2, " "]]))
    assert params(book) == [{"x": 1, "y": 2}]
    path.write_text("x,y\n1,2\n3,4,5\n")  # names of rows are in all rows
    error = refused(lambda: table(path), ":3", "3 cells under 2")
    assert error.next_step == "Quote cells that hold a comma."


@pytest.mark.parametrize("name", ["\ufeffx", "x\u200b"])
def test_a_name_with_an_invisible_character_is_refused(tmp_path: Path, name: str) -> None:
    """Files that were joined have a byte order mark inside."""
    path = tmp_path / "cases.csv"
    path.write_text(f"\ufeff{name},y\n1,2\n", encoding="utf-8")
    refused(lambda: table(path), "or an invisible character")


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cases.csv")
    refused(lambda: table(tmp_path / "cases.csv"), "is a pipe or a device")


def test_the_first_line_of_excel_names_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\nx;y\r\n1;0,5\r\n")
    assert params(path, decimal=",") == [{"x": 1, "y": 0.5}]
    path.write_text("sep=,\nx,y\n1\n")
    assert refused(lambda: table(path)).where == f"{path}:3"
    # What the csv module cannot take between cells: Python 3.13 raises ValueError.
    for name in ("sep=", 'sep="'):
        path.write_text(f"{name}\nx\n")
        assert params(path) == [{name: "x"}]
    path.write_text("sep=\0\nx\n")
    assert refused(lambda: table(path)).where == f"{path}:1"


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"# by me\nx,y\n1,2\n", 1, "begins with `#`, as a comment does"),
        (b"# x,y\n1,2\n", 1, "begins with `#`"),
        (b'x,y\n1,2\n"a" b,1\n', 3, "cannot be read as CSV: ',' expected after"),
        (b'x,y\n1,2\n"a,1\n2,3\n', 3, "cannot be read as CSV: unexpected end of data"),
        (b"x,y\na\0b,1\n", 2, "has a NUL character"),
        ("x,y\n1,2\n".encode("utf-16-le"), 1, "UTF-16"),
        ("x,y\n1,2\n".encode("utf-16"), 1, "UTF-16, not UTF-8"),
        (b",x\n1,2\n", 1, "column 1 has no name"),
    ],
)
def test_what_is_no_sheet_of_text(tmp_path: Path, content: bytes, line: int, words: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(content)
    error = refused(lambda: table(path))
    assert error.where == f"{path}:{line}"
    assert words in error.what
    assert error.next_step


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    assert refused(lambda: table(path)).where == f"{path}:1"


def test_a_sheet_for_a_chart_that_has_none(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_chartsheet("chart")
    book.save(tmp_path / "cases.xlsx")
    assert "cannot be read as a workbook" in refused(lambda: table(tmp_path / "cases.xlsx")).what
