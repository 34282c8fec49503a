"""`collect --sql`: one SELECT over the rows, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.errors import ExtraMissing, InputError, StoreError
from hpcsweep.settings import Settings
from hpcsweep.sources import manual
from hpcsweep.sweep import Sweep
from hpcsweep.tables import begun_rows, case_rows, queries
from hpcsweep.tables.queries import _names_in
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.several import collect_several
from tests.support.sweeps import MadeSweep

pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")

PYTHON = """\
def run(x, name=None):
    if x == 3:
        raise ValueError("no good")
    return {"e": x / 2, "n": {"deep": 10**18 + x}, "mixed": x if x % 2 else "x", "ok": x > 1}
"""
CASES = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """Case 3 failed; the last one is in a task that never started."""
    cases = [{"x": x, "name": f"{x % 2}"} for x in range(CASES)]
    made = MadeSweep(tmp_path_factory.mktemp("queries"), manual(cases), python=PYTHON)
    made.plan(chunk_size=CASES - 1)
    made.handed_in()
    made.run(0)
    return made


def answer(made: MadeSweep, sql: str, **arguments: Any) -> list[dict[str, Any]]:
    return Sweep(str(made.path)).query(sql=sql, **arguments)


def test_a_select_over_cases(made: MadeSweep) -> None:
    sql = "SELECT name, count(*) AS n, avg(e) AS mean FROM cases GROUP BY name ORDER BY name"
    assert answer(made, sql) == [
        {"name": "0", "n": 3, "mean": 1.0},
        {"name": "1", "n": 3, "mean": 0.5},
    ]
    assert answer(made, sql, where="x < 3", status="complete")[1] == {
        "name": "1",
        "n": 1,
        "mean": 0.5,
    }
    rows = answer(made, "SELECT * EXCLUDE (seed) FROM cases")
    everything = Sweep(str(made.path)).query()
    assert [row["index"] for row in rows] == list(range(CASES))
    assert rows[1]["n.deep"] == 10**18 + 1
    assert "seed" not in rows[1]
    assert "e" not in rows[3]
    assert rows[5] == {name: everything[5][name] for name in everything[5] if name != "seed"}


def test_a_table_is_read_as_often_as_it_is_named(made: MadeSweep) -> None:
    sql = """SELECT a.x, b.x AS next, t.attempt FROM cases a JOIN cases b ON b.x = a.x + 1
        JOIN attempts t ON t."index" = a."index" WHERE b.status = 'complete' ORDER BY a.x"""
    assert answer(made, sql) == [
        {"x": 0, "next": 1, "attempt": 1},
        {"x": 1, "next": 2, "attempt": 1},
        {"x": 3, "next": 4, "attempt": 1},
    ]


def test_several_sweeps(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    taken: list[Any] = []
    sql = "SELECT count(*) AS n, count(DISTINCT sweep) AS sweeps FROM cases WHERE e < 1"
    collect_several(
        [(made.directory, None), (copy.directory, None)],
        Settings(),
        lambda columns, rows: taken.extend((columns.names, list(rows))),
        TableRequest(sql=sql),
    )
    assert taken == [["n", "sweeps"], [{"n": 4, "sweeps": 2}]]


def test_values_of_every_kind(made: MadeSweep) -> None:
    sql = """SELECT 1.50::DECIMAL(5, 2) AS decimal, sum(x) AS whole, DATE '2026-11-29' AS day,
        [1, NULL] AS list, {'a': 2.5::DECIMAL(3, 1)} AS struct, 'nan'::DOUBLE AS nan,
        NULL AS nothing, bool_and(x < 9) AS truth, 'ä' AS "t.t" FROM cases"""
    (row,) = answer(made, sql)
    nan = row.pop("nan")
    assert nan != nan  # noqa: PLR0124  # is NaN
    assert row == {
        "decimal": 1.5,
        "whole": 15,
        "day": "2026-11-29",
        "list": [1, None],
        "struct": {"a": 2.5},
        "truth": True,
        "t.t": "ä",
    }
    table = Sweep(str(made.path)).to_arrow(sql="SELECT sum(x) AS s, max(mixed) AS m FROM cases")
    assert table.to_pydict() == {"s": [15], "m": ["x"]}
    frame = Sweep(str(made.path)).to_dataframe(sql="SELECT x FROM cases WHERE x > 3 ORDER BY x")
    assert frame["x"].tolist() == [4, 5]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_format(made: MadeSweep, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"t.{suffix}"
    sql = "SELECT x, e FROM cases WHERE e > 0.5 ORDER BY x DESC"
    command = ["collect", str(made.path), "--sql", sql, "--output", str(output)]
    result = CliRunner().invoke(main, command, prog_name="hpcsweep")
    assert result.exit_code == 0, result.output
    if suffix == "parquet":
        pyarrow = pytest.importorskip("pyarrow.parquet")
        assert pyarrow.read_table(output).to_pydict() == {"x": [4, 2], "e": [2.0, 1.0]}
    else:
        jsonl = '{"x": 4, "e": 2.0}\n{"x": 2, "e": 1.0}\n'
        expected = {"csv": "x,e\n4,2.0\n2,1.0\n", "jsonl": jsonl}
        assert output.read_text() == expected[suffix]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", r'Parser Error: syntax error at or near "SELEC"'),
        ("SELECT nosuch FROM cases", 'column "nosuch" not found'),
        ("SELECT * FROM nosuch", "nosuch does not exist"),
        ("SELECT CAST(mixed AS INT) FROM cases", "Conversion Error: Could not convert string 'x'"),
        ("SELECT 1; SELECT 2", "it is not one SELECT"),
        ("", "it is not one SELECT"),
        ("CREATE TABLE t (a INT)", "it is not one SELECT"),
        ("SET enable_external_access = true", "it is not one SELECT"),
        ("INSTALL httpfs", "it is not one SELECT"),
        ("SELECT x, x FROM cases", "two columns of the result are named x"),
        ("SELECT 10000000000 * sum(x)::HUGEINT * 10000000000 AS s FROM cases", "beyond 64 bits"),
    ],
)
def test_a_mistake_is_one_sentence(made: MadeSweep, sql: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        answer(made, sql)
    assert raised.value.where == "--sql"
    assert "\n" not in raised.value.what


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{path}')",
        "SELECT * FROM read_text('{path}')",
        "SELECT * FROM '{path}'",
        "SELECT * FROM glob('{path}*')",
        "SELECT * FROM sqlite_scan('{path}', 'cases')",
        "SELECT * FROM read_parquet('http://localhost:1/a.parquet')",
        "SELECT * FROM secret_rows",
        "COPY cases TO '{path}.copy'",
        "ATTACH '{path}.db'",
        "EXPORT DATABASE '{path}.dir'",
    ],
)
def test_nothing_else_is_reached(made: MadeSweep, tmp_path: Path, sql: str) -> None:
    """No file is read or written, no connection opened, no variable of Python is a table."""
    secret_rows = pa.table({"a": [1]})
    assert secret_rows.num_rows == 1
    path = tmp_path / "secret.csv"
    path.write_text("word\nsecret\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError):
        answer(made, sql.format(path=path))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [{"columns": ["x"]}, {"sort": "x"}, {"limit": 1}, {"attempts": True}, {"group_by": "x"}],
)
def test_a_select_alone_says_what_the_table_is(made: MadeSweep, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a SELECT says itself"):
        answer(made, "SELECT 1", **arguments)


def test_a_select_that_needs_too_much_memory(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, and writes no file instead."""
    monkeypatch.setitem(queries.SETTINGS, "memory_limit", "20MB")
    with pytest.raises(InputError, match="DuckDB needs more than"):
        answer(made, "SELECT * FROM range(3000000) a ORDER BY hash(a.range)")


def test_columns_that_differ_by_case_alone(tmp_path: Path) -> None:
    """As T and t, temperature and time: SQL has one name for both."""
    made = MadeSweep(tmp_path, manual([{"T": 300, "t": 1}]))
    made.plan()
    made.handed_in()
    for sql in (
        "SELECT t FROM cases",
        'SELECT max("T") FROM cases',
        "SELECT 1 FROM cases WHERE t = 1",
    ):
        with pytest.raises(InputError, match="T and t are one name in SQL"):
            answer(made, sql)
    assert answer(made, "SELECT count(*) AS n FROM cases") == [{"n": 1}]


def test_without_duckdb(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'hpcsweep\[duckdb\]'"):
        answer(made, "SELECT 1")


def test_an_error_of_the_index_stays_one(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def begun_batches(*_: Any, **__: Any) -> Any:
        raise StoreError("the disk is gone", where="store.sqlite3")
        yield

    monkeypatch.setattr(case_rows, "begun_batches", begun_batches)
    with pytest.raises(StoreError, match="the disk is gone"):
        answer(made, "SELECT e FROM cases")


# --- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT count(*) FROM cases", {"index"}),
        ("SELECT avg(E) AS m FROM cases WHERE X > 1 ORDER BY m", {"e", "x"}),
        ("SELECT a.x FROM cases a JOIN cases b USING (name)", {"x", "name"}),
        ('SELECT "n.deep" FROM cases WHERE ok', {"n.deep", "ok"}),
        ("WITH t AS (SELECT x + 1 AS y FROM cases) SELECT max(y) FROM t", {"x"}),
        ("SELECT x FROM cases WHERE name = (SELECT max(name) FROM cases)", {"x", "name"}),
        ("SELECT c FROM cases c", None),
        ("SELECT cases FROM cases", None),
        ("FROM cases", None),
        ("SELECT columns('e.*') FROM cases", None),
        ("SELECT #2 FROM cases", None),
        ("SELECT b FROM cases AS t(a, b)", None),
        ("SELECT 1 FROM cases NATURAL JOIN attempts", None),
        ("SELECT 1 FROM cases POSITIONAL JOIN attempts", None),
        ("SUMMARIZE cases", None),
        ("SELECT x FROM cases UNION BY NAME FROM cases", None),
    ],
)
def test_columns_that_a_select_does_not_need_are_not_read(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch, sql: str, names: set[str] | None
) -> None:
    """None: it may need all of them. The answer is that over all columns."""
    read: set[str] = set()
    original = begun_rows.begun_batches

    def begun_batches(index: Any, columns: Any, wanted: Any, within: Any, **how: Any) -> Any:
        read.update(wanted)
        return original(index, columns, wanted, within, **how)

    monkeypatch.setattr(case_rows, "begun_batches", begun_batches)
    narrowed = answer(made, sql)
    assert read == (names or set(Sweep(str(made.path)).query()[0]) | {"reason", "run_dir", "error"})
    monkeypatch.setattr(queries, "_names_in", lambda _: None)
    assert sorted(map(repr, answer(made, sql))) == sorted(map(repr, narrowed))


def test_a_statement_that_cannot_be_parsed_needs_all() -> None:
    assert _names_in({"error": True, "error_message": "not implemented"}) is None
