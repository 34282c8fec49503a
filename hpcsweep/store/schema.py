"""The tables, for SQLite and PostgreSQL.

Params and metrics are exact JSON text: JSONB would change `1e16` to an int and reorder keys.
PostgreSQL also has them as `params_jsonb` and `metrics_jsonb`, and SQLite the numbers among them in
columns of their own, for queries only. `rank` is the merge order of `journal.rank`: of two records
about a case, the greater one becomes the row.

A change needs a new VERSION, a step in `migrations`, and a file in tests/data/schema.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    cast,
    event,
    func,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import UserDefinedType

VERSION = 7

# Indices per block. A change of it is a new version.
BLOCK = 8192

metadata = MetaData()

# Compare byte by byte, as SQLite and Python do: a locale would break the order of ranks.
_WORD = String().with_variant(String(collation="C"), "postgresql")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# The columns of `cases` for numbers, by the column with their JSON text; see `number_columns`.
NUMBERS = {
    "params": tuple(f"p{number}" for number in range(1, 9)),
    "metrics": tuple(f"m{number}" for number in range(1, 9)),
}
# What marks a column of these.
_OF_SQLITE = {"of_sqlite": True}


class Number(UserDefinedType[float]):
    """A number as it is given: a column with a type would make 1 of 1.0, or 1.0 of 1."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """What CREATE TABLE says of the type: nothing."""
        return ""


@compiles(CreateColumn, "postgresql")
def _create_column(element: CreateColumn, compiler: Any, **options: Any) -> Any:
    """The words for a column in CREATE TABLE; None for one that SQLite alone has."""
    if element.element.info == _OF_SQLITE:
        return None
    return compiler.visit_create_column(element, **options)


def columns(table: Table, dialect: str = "") -> list[Column[Any]]:
    """The columns that a table has in a database of this kind, or in any."""
    is_sqlite = dialect == "sqlite"
    return [column for column in table.columns if is_sqlite or column.info != _OF_SQLITE]


# The version of the schema, and the program that owns the tables.
meta = Table(
    "meta",
    metadata,
    Column("name", _WORD, primary_key=True),
    Column("value", _WORD, nullable=False),
)

# One row per case that any attempt began.
cases = Table(
    "cases",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("case_id", _WORD, primary_key=True),
    # Its lowest index in the newest manifest; null if that lacks it.
    Column("idx", BigInteger),
    # What this index carries, as JSON; null for nothing. It is no part of what was computed, and a
    # changed manifest may have others.
    Column("carried", _TEXT),
    # Near the front: to find a column SQLite goes through all before it.
    *(Column(name, Number, info=_OF_SQLITE) for name in (*NUMBERS["params"], *NUMBERS["metrics"])),
    Column("rank", _WORD, nullable=False),
    Column("status", _WORD, nullable=False),
    Column("reason", _WORD),
    Column("params", _TEXT, nullable=False),
    Column("tags", _TEXT, nullable=False),
    Column("metrics", _TEXT, nullable=False),
    Column("error", _TEXT),
    # 32 hex digits.
    Column("seed", _WORD, nullable=False),
    Column("replicate", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("submission", Integer, nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("restart", Integer, nullable=False),
    Column("token", _WORD, nullable=False),
    # UTC, ISO 8601.
    Column("started", _WORD),
    Column("ended", _WORD),
    Column("wall_seconds", Float),
    Column("cpu_seconds", Float),
    Column("max_rss_bytes", BigInteger),
    Column("host", _WORD),
    Column("job_id", _WORD),
    Column("run_dir", _WORD),
    Column("code_digest", _WORD),
    # Slurm's SLURM_ARRAY_TASK_ID.
    Column("task_id", Integer),
    # 1-based number of the attempt among the known attempts of the case.
    Column("attempt", Integer, nullable=False, server_default="1"),
    # Rows come nearly in its order, so it grows at its end.
    Index("cases_by_index", "sweep", "idx"),
)


def add_jsonb(connection: Connection, name: str) -> None:
    """Add the JSONB form of a JSON text column to `cases`, on PostgreSQL.

    It is NULL where JSONB refuses the text: for NUL characters and lone surrogates.
    """
    connection.exec_driver_sql(
        f"ALTER TABLE cases ADD COLUMN {name}_jsonb JSONB GENERATED ALWAYS AS ("
        f"CASE WHEN strpos({name}, E'\\\\u0000') = 0 AND strpos({name}, E'\\\\ud') = 0 "
        f"THEN {name}::jsonb END) STORED"
    )


@event.listens_for(cases, "after_create")
def _complete_cases(_table: Table, connection: Connection, **_: Any) -> None:
    # Of reruns alone: few rows, and the highest generation at once. An `Index` with a condition for
    # PostgreSQL would load that dialect, which takes 0.1 s, and SQLite does not need it.
    connection.exec_driver_sql(
        "CREATE INDEX cases_of_reruns ON cases (sweep, generation) WHERE generation > 0"
    )
    if connection.dialect.name == "postgresql":
        add_jsonb(connection, "params")
        add_jsonb(connection, "metrics")


def column(name: str) -> Any:
    """A column of a row."""
    return cases.c[name]


def document(name: str) -> Any:
    """A column of JSON as JSONB, for conditions on PostgreSQL.

    Characters that JSONB refuses are replaced, so that other values can still be compared.
    """
    # Not at the top: PostgreSQL's dialect takes 0.1 s, and SQLite does not need it.
    from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415

    refused, replacement = r"\\u(0000|d[0-9a-f]{3})", r"\\ufffd"
    cleaned = func.regexp_replace(column(name), refused, replacement, "g")
    if name not in ("params", "metrics"):
        return cast(cleaned, JSONB)
    return func.coalesce(literal_column(f"cases.{name}_jsonb", JSONB), cast(cleaned, JSONB))


# All attempts of the cases that had several.
attempts = Table(
    "attempts",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("case_id", _WORD, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("submission", Integer, primary_key=True),
    Column("restart", Integer, primary_key=True),
    Column("token", _WORD, primary_key=True),
    # Of the record that says the rest; "" without one.
    Column("rank", _WORD, nullable=False, server_default=""),
    Column("status", _WORD),
    # After `quota` no retry counts it.
    Column("reason", _WORD),
    Column("started", _WORD),
    Column("ended", _WORD),
    Column("wall_seconds", Float),
    Column("cpu_seconds", Float),
    Column("max_rss_bytes", BigInteger),
    Column("host", _WORD),
    Column("job_id", _WORD),
)

# The further indices of cases: all but that in `cases`. Of a case without a row all of them.
places = Table(
    "places",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("case_id", _WORD, nullable=False),
    Column("carried", _TEXT),
    Index("places_by_case", "sweep", "case_id"),
    # Its primary key is nearly all of a row: no second copy of it.
    sqlite_with_rowid=False,
)

# The input files of the cases that have some.
inputs = Table(
    "inputs",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("case_id", _WORD, primary_key=True),
    # Of the record that says so: if the row in `cases` has another one, it read other files.
    Column("rank", _WORD, nullable=False),
    # JSON: size, time and digest of each file by its path, see `input_files`.
    Column("files", _TEXT, nullable=False),
)

# Which column of `cases` has the numbers of which key, on SQLite.
number_columns = Table(
    "number_columns",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    # The column with the JSON text.
    Column("document", _WORD, primary_key=True),
    # The keys from it down to the number, as JSON.
    Column("path", _TEXT, primary_key=True),
    # One of `NUMBERS`.
    Column("name", _WORD, nullable=False),
    Index("number_columns_by_name", "sweep", "name", unique=True),
)

# What is known of the cases of a block of indices, see `blocks`; null since a merge changed one.
blocks = Table(
    "blocks",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    # First index / `BLOCK`.
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("outcomes", _TEXT),
    Column("kinds", _TEXT),
    sqlite_with_rowid=False,
)

# What is known of a whole sweep, see `totals`; null where nothing is kept.
totals = Table(
    "totals",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    # As of one block.
    Column("outcomes", _TEXT),
    Column("kinds", _TEXT),
    # The sets of `task_groups`.
    Column("tasks", _TEXT),
    # The directories of journals that were all ingested, see `closed_journals`.
    Column("closed", _TEXT),
)

# Array tasks, one row per chunk: its last start, and the scheduler's verdict on its end.
tasks = Table(
    "tasks",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("submission", Integer, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    # Order of starts: restart count and token; "" without a known start.
    Column("start_rank", _WORD, nullable=False),
    Column("host", _WORD),
    Column("job_id", _WORD),
    Column("time", _WORD),
    # Order of verdicts: restart count, time and checksum; "" without one.
    Column("verdict_rank", _WORD, nullable=False),
    Column("status", _WORD),
    Column("reason", _WORD),
)

# How far each journal was ingested.
journals = Table(
    "journals",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("path", _WORD, primary_key=True),
    # Offset of the first byte not yet ingested.
    Column("position", BigInteger, nullable=False),
    # Count of skipped lines.
    Column("torn", Integer, nullable=False),
    # 1 if the task has written its last record, and it was ingested: the file grows no more.
    Column("closed", Integer, nullable=False, server_default="0"),
)


@event.listens_for(journals, "after_create")
def _complete_journals(_table: Table, connection: Connection, **_: Any) -> None:
    # Of ten thousand journals few are open, and hardly any has skipped lines.
    for name, condition in (("journals_to_read", "closed = 0"), ("journals_torn", "torn > 0")):
        connection.exec_driver_sql(f"CREATE INDEX {name} ON journals (sweep) WHERE {condition}")


# The sweeps in this database, each with the manifest whose indices its cases have.
sweeps = Table(
    "sweeps",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("name", _WORD, nullable=False),
    Column("manifest", _WORD, nullable=False),
)

# The submissions of a sweep.
submissions = Table(
    "submissions",
    metadata,
    Column("sweep", _WORD, primary_key=True),
    Column("submission", Integer, primary_key=True),
    Column("manifest", _WORD, nullable=False),
    Column("generation", Integer, nullable=False),
    # Counts.
    Column("cases", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("time", _WORD),
    Column("cluster", _WORD),
    Column("code_digest", _WORD),
)
