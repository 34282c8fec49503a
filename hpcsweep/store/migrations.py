"""Schema versions: commands create the tables, or migrate them step by step. Tasks never do.

A step and its new version number are one transaction. Released steps never change: each works on
the schema of its own version, so it names tables and columns itself.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect, select, text

from hpcsweep.errors import StoreError
from hpcsweep.store import schema

# Key of the advisory lock for migrations; arbitrary.
LOCK = 0x68706373776565
PROGRAM = "hpcsweep"


def is_ready(connection: Connection, where: str) -> bool:
    """Whether the tables exist and have this version; False if they must be created or migrated.

    *Raises* StoreError for a newer version; a database error for a table that was changed.
    """
    version = _version(connection, where)
    if version is not None and version > schema.VERSION:
        raise _newer_version_error(connection, version, where)
    if version != schema.VERSION:
        return False
    for table in schema.metadata.tables.values():
        # With the table's name: SQLite takes a quoted name that is no column for a text.
        columns = schema.columns(table, connection.dialect.name)
        names = ", ".join(f'{table.name}."{column.name}"' for column in columns)
        # Plain SQL: each command does this, and SQLAlchemy would compile it for five times as long.
        connection.exec_driver_sql(f"SELECT {names} FROM {table.name} LIMIT 0")  # noqa: S608
    return True


def prepare(connection: Connection, where: str) -> None:
    """Create the tables, or migrate older ones. *Safe to repeat*, also concurrently.

    *Raises* StoreError for tables of a newer version, or of another program.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    if is_ready(connection, where):
        return
    present = _version(connection, where)
    if present is None:
        _refuse_foreign(connection, where)
        schema.metadata.create_all(connection)
        connection.execute(schema.meta.insert(), {"name": "program", "value": PROGRAM})
        connection.execute(schema.meta.insert(), {"name": "schema_version", "value": ""})
    else:
        if is_postgresql:  # a step may copy a table in one statement, which would fail each time
            connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
        for version in range(present, schema.VERSION):
            STEPS[version](connection)
    connection.execute(
        schema.meta.update()
        .where(schema.meta.c.name == "schema_version")
        .values(value=str(schema.VERSION))
    )


def drop(connection: Connection, where: str) -> None:
    """Drop the tables, in whatever state. *Raises* StoreError unless they are hpcsweep's."""
    if _meta(connection, "program") != PROGRAM:
        raise _foreign_tables_error("are not marked as hpcsweep's", where)
    schema.metadata.drop_all(connection)


def _version(connection: Connection, where: str) -> int | None:
    text = _meta(connection, "schema_version")
    if text is None:
        return None
    if not text.isdigit() or int(text) == 0:
        problem = StoreError(
            f"its schema version is {text!r}, which was written by hand",
            where=where,
            next_step="Run `hpcsweep ingest SWEEP --rebuild`.",
        )
        problem.damaged = True
        raise problem
    return int(text)


def _meta(connection: Connection, name: str) -> str | None:
    if not inspect(connection).has_table(schema.meta.name):
        return None
    query = select(schema.meta.c.value).where(schema.meta.c.name == name)
    value: str | None = connection.scalar(query)
    return value


def _newer_version_error(connection: Connection, version: int, where: str) -> StoreError:
    next_step = "Use the newer hpcsweep that made it."
    if connection.dialect.name == "sqlite":  # a file of this sweep alone
        next_step += " Or move the file away: this one makes its own from the journals."
    return StoreError(
        f"has schema version {version}, this program knows {schema.VERSION}",
        where=where,
        next_step=next_step,
    )


def _refuse_foreign(connection: Connection, where: str) -> None:
    inspector = inspect(connection)
    taken = sorted(name for name in schema.metadata.tables if inspector.has_table(name))
    if taken:
        raise _foreign_tables_error(f"{', '.join(taken)} are another program's", where)


def _foreign_tables_error(what: str, where: str) -> StoreError:
    return StoreError(
        f"its tables {what}",
        where=where,
        next_step="Give hpcsweep a database of its own, or a schema: "
        "ALTER ROLE … IN DATABASE … SET search_path = …",
    )


# --- the steps, named by the version that they start from -----------------------------------------

_TEXTS_1 = {
    "meta": ("name", "value"),
    "cases": (
        "sweep",
        "case_id",
        "rank",
        "status",
        "reason",
        "params",
        "tags",
        "metrics",
        "error",
        "seed",
        "token",
        "started",
        "ended",
        "host",
        "job_id",
        "run_dir",
        "code_digest",
    ),
    "places": ("sweep", "case_id"),
    "tasks": (
        "sweep",
        "start_rank",
        "host",
        "job_id",
        "time",
        "verdict_rank",
        "status",
        "reason",
    ),
    "journals": ("sweep", "path"),
    "sweeps": ("sweep", "name", "manifest"),
}
_LONG_1 = ("params", "tags", "metrics", "error")


def _from_1(connection: Connection) -> None:
    """Count attempts, add tasks and submissions; PostgreSQL compares text byte by byte."""
    run = connection.exec_driver_sql
    word = "VARCHAR"
    if connection.dialect.name == "postgresql":
        word = 'VARCHAR COLLATE "C"'
        for table, columns in _TEXTS_1.items():
            kinds = {name: "TEXT" if name in _LONG_1 else "VARCHAR" for name in columns}
            changes = (f'ALTER {name} TYPE {kind} COLLATE "C"' for name, kind in kinds.items())
            run(f"ALTER TABLE {table} {', '.join(changes)}")
    run("ALTER TABLE cases ADD COLUMN task_id INTEGER")
    run("ALTER TABLE cases ADD COLUMN attempt INTEGER DEFAULT '1' NOT NULL")
    if connection.dialect.name == "postgresql":
        schema.add_jsonb(connection, "params")
        schema.add_jsonb(connection, "metrics")
    run(
        f"CREATE TABLE attempts (sweep {word} NOT NULL, case_id {word} NOT NULL, "
        "generation INTEGER NOT NULL, submission INTEGER NOT NULL, restart INTEGER NOT NULL, "
        f"token {word} NOT NULL, "
        "PRIMARY KEY (sweep, case_id, generation, submission, restart, token))"
    )
    run(
        f"CREATE TABLE submissions (sweep {word} NOT NULL, submission INTEGER NOT NULL, "
        f"manifest {word} NOT NULL, generation INTEGER NOT NULL, cases BIGINT NOT NULL, "
        f"chunks INTEGER NOT NULL, time {word}, cluster {word}, code_digest {word}, "
        "PRIMARY KEY (sweep, submission))"
    )
    run("INSERT INTO meta (name, value) VALUES ('program', 'hpcsweep')")
    # Ingest the journals again: they hold attempts that no row has.
    run("DELETE FROM journals")


def _from_2(connection: Connection) -> None:
    """Add the outcome of each attempt."""
    run = connection.exec_driver_sql
    word = "VARCHAR"
    if connection.dialect.name == "postgresql":
        word = 'VARCHAR COLLATE "C"'
    run(f"ALTER TABLE attempts ADD COLUMN rank {word} DEFAULT '' NOT NULL")
    for name in ("status", "reason", "started", "ended"):
        run(f"ALTER TABLE attempts ADD COLUMN {name} {word}")
    for name in ("wall_seconds", "cpu_seconds"):
        run(f"ALTER TABLE attempts ADD COLUMN {name} FLOAT")
    run("ALTER TABLE attempts ADD COLUMN max_rss_bytes BIGINT")
    for name in ("host", "job_id"):
        run(f"ALTER TABLE attempts ADD COLUMN {name} {word}")
    # Ingest the journals again: they have the outcome of each attempt.
    run("DELETE FROM journals")


def _from_3(connection: Connection) -> None:
    """Add blocks, and mark journals that grow no more; SQLite keeps places once, not twice."""
    run = connection.exec_driver_sql
    is_sqlite = connection.dialect.name == "sqlite"
    word, text = ("VARCHAR", "TEXT") if is_sqlite else ('VARCHAR COLLATE "C"', 'TEXT COLLATE "C"')
    without_rowid = " WITHOUT ROWID" if is_sqlite else ""
    run(
        f"CREATE TABLE blocks (sweep {word} NOT NULL, block BIGINT NOT NULL, outcomes {text}, "
        f"kinds {text}, PRIMARY KEY (sweep, block)){without_rowid}"
    )
    run("INSERT INTO blocks (sweep, block) SELECT DISTINCT sweep, idx / 8192 FROM places")
    run("DROP INDEX cases_by_status")
    run("CREATE INDEX cases_of_reruns ON cases (sweep, generation) WHERE generation > 0")
    run("ALTER TABLE journals ADD COLUMN closed INTEGER DEFAULT '0' NOT NULL")
    if is_sqlite:
        run("DROP INDEX places_by_case")
        run("ALTER TABLE places RENAME TO old_places")
        run(
            "CREATE TABLE places (sweep VARCHAR NOT NULL, idx BIGINT NOT NULL, "
            "case_id VARCHAR NOT NULL, PRIMARY KEY (sweep, idx)) WITHOUT ROWID"
        )
        run("INSERT INTO places SELECT sweep, idx, case_id FROM old_places ORDER BY sweep, idx")
        run("DROP TABLE old_places")
        run("CREATE INDEX places_by_case ON places (sweep, case_id)")


def _from_4(connection: Connection) -> None:
    """Add carried cells and input files; make the kinds of columns again, with the carried ones."""
    run = connection.exec_driver_sql
    collation = ' COLLATE "C"' if connection.dialect.name == "postgresql" else ""
    word, text_ = f"VARCHAR{collation}", f"TEXT{collation}"
    run(f"ALTER TABLE places ADD COLUMN carried {text_}")
    run(
        f"CREATE TABLE inputs (sweep {word} NOT NULL, case_id {word} NOT NULL, "
        f"rank {word} NOT NULL, files {text_} NOT NULL, PRIMARY KEY (sweep, case_id))"
    )
    run("UPDATE blocks SET kinds = NULL")


_CASES_6 = (
    ("sweep", "VARCHAR", "NOT NULL"),
    ("case_id", "VARCHAR", "NOT NULL"),
    ("idx", "BIGINT", ""),
    ("carried", "TEXT", ""),
    ("rank", "VARCHAR", "NOT NULL"),
    ("status", "VARCHAR", "NOT NULL"),
    ("reason", "VARCHAR", ""),
    ("params", "TEXT", "NOT NULL"),
    ("tags", "TEXT", "NOT NULL"),
    ("metrics", "TEXT", "NOT NULL"),
    ("error", "TEXT", ""),
    ("seed", "VARCHAR", "NOT NULL"),
    ("replicate", "INTEGER", "NOT NULL"),
    ("generation", "INTEGER", "NOT NULL"),
    ("submission", "INTEGER", "NOT NULL"),
    ("chunk", "INTEGER", "NOT NULL"),
    ("restart", "INTEGER", "NOT NULL"),
    ("token", "VARCHAR", "NOT NULL"),
    ("started", "VARCHAR", ""),
    ("ended", "VARCHAR", ""),
    ("wall_seconds", "FLOAT", ""),
    ("cpu_seconds", "FLOAT", ""),
    ("max_rss_bytes", "BIGINT", ""),
    ("host", "VARCHAR", ""),
    ("job_id", "VARCHAR", ""),
    ("run_dir", "VARCHAR", ""),
    ("code_digest", "VARCHAR", ""),
    ("task_id", "INTEGER", ""),
    ("attempt", "INTEGER", "DEFAULT '1' NOT NULL"),
)


def _from_5(connection: Connection) -> None:
    """Move the lowest index of each case into its row; add totals, and indexes of few journals."""
    run = connection.exec_driver_sql
    is_sqlite = connection.dialect.name == "sqlite"
    collation = "" if is_sqlite else ' COLLATE "C"'
    word, text_ = f"VARCHAR{collation}", f"TEXT{collation}"
    kinds = {"VARCHAR": word, "TEXT": text_}
    columns = ", ".join(f"{name} {kinds.get(kind, kind)} {rest}" for name, kind, rest in _CASES_6)
    run("DROP INDEX cases_of_reruns")
    run("ALTER TABLE cases RENAME TO old_cases")
    if not is_sqlite:  # the new table's key has this name
        run("ALTER TABLE old_cases RENAME CONSTRAINT cases_pkey TO old_cases_pkey")
    run(f"CREATE TABLE cases ({columns}, PRIMARY KEY (sweep, case_id))")
    if not is_sqlite:
        schema.add_jsonb(connection, "params")
        schema.add_jsonb(connection, "metrics")
    of_place = ("idx", "carried")
    names = [name for name, *_ in _CASES_6]
    values = [f"{'p' if name in of_place else 'c'}.{name}" for name in names]
    run(
        f"INSERT INTO cases ({', '.join(names)}) SELECT {', '.join(values)} "  # noqa: S608  # ours
        "FROM old_cases c LEFT JOIN places p ON p.sweep = c.sweep AND p.idx = "
        "(SELECT min(q.idx) FROM places q WHERE q.sweep = c.sweep AND q.case_id = c.case_id)"
    )
    run("DROP TABLE old_cases")
    run("CREATE INDEX cases_by_index ON cases (sweep, idx)")
    run("CREATE INDEX cases_of_reruns ON cases (sweep, generation) WHERE generation > 0")
    run(
        f"CREATE TABLE totals (sweep {word} NOT NULL, outcomes {text_}, kinds {text_}, "
        f"tasks {text_}, closed {text_}, PRIMARY KEY (sweep))"
    )
    run("CREATE INDEX journals_to_read ON journals (sweep) WHERE closed = 0")
    run("CREATE INDEX journals_torn ON journals (sweep) WHERE torn > 0")
    run(
        "DELETE FROM places WHERE EXISTS (SELECT 1 FROM cases c WHERE c.sweep = places.sweep "
        "AND c.case_id = places.case_id AND c.idx = places.idx)"
    )


_NUMBERS_7 = [f"{letter}{number}" for letter in "pm" for number in range(1, 9)]


def _from_6(connection: Connection) -> None:
    """Add columns for numbers on SQLite; those of cases that are there stay in their JSON alone."""
    run = connection.exec_driver_sql
    is_sqlite = connection.dialect.name == "sqlite"
    collation = "" if is_sqlite else ' COLLATE "C"'
    word, text_ = f"VARCHAR{collation}", f"TEXT{collation}"
    run(
        f"CREATE TABLE number_columns (sweep {word} NOT NULL, document {word} NOT NULL, "
        f"path {text_} NOT NULL, name {word} NOT NULL, PRIMARY KEY (sweep, document, path))"
    )
    run("CREATE UNIQUE INDEX number_columns_by_name ON number_columns (sweep, name)")
    # Behind all others: to have them elsewhere, the table would have to be copied, which writes
    # 20 GB of ten million cases.
    for name in _NUMBERS_7 if is_sqlite else ():
        run(f"ALTER TABLE cases ADD COLUMN {name}")


STEPS: dict[int, Callable[[Connection], None]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
    5: _from_5,
    6: _from_6,
}
