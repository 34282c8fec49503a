"""`Store`: run or retrieve. A cache shared by notebooks and any number of tasks."""

from __future__ import annotations

import builtins
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import URL
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state

from hpcsweep import ids
from hpcsweep.cache import bulk_runs
from hpcsweep.cache.files.dirty_marks import DirtyMarks, producer_mark
from hpcsweep.cache.files.producer import ResultProducer, Runner
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory, ResultKey, checked_id
from hpcsweep.cache.models import Base, patched
from hpcsweep.cache.param_columns import ParamColumns
from hpcsweep.cache.row_upsert import ColumnValues
from hpcsweep.cache.table import ROWS_AT_ONCE, CacheTable
from hpcsweep.errors import InputError, ResultMissing, StoreError
from hpcsweep.records import IN_TASK
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.location import locate_database

LOG = logging.getLogger("hpcsweep")
# Silent unless the program installs a handler: otherwise logging prints warnings on stderr.
LOG.addHandler(logging.NullHandler())

R = TypeVar("R", bound=Base)
T = TypeVar("T")
Params = Mapping[str, Any]
SQLITE = "sqlite:///"


class Store(Generic[R]):
    """Results by their parameters, each made once and then retrieved. The contract:

    * The params alone identify a record, in every process, on every host, for ever. A parameter
      that is None equals a missing one.
    * Of all threads, processes and hosts that want the same record at once, one makes it and the
      others wait. If it dies, another takes over, and the first cannot publish any more.
    * A result appears atomically; a failed run leaves the previous one unchanged.
    * The database is an index of `results_dir`: `rebuild` recreates it at any time. A copy of the
      directory is as good as the original.
    * Returned objects of `result_cls` are detached: changing them changes nothing stored.

    Examples:
        >>> import tempfile, pathlib
        >>> from hpcsweep import Base, Mapped, Store
        >>> class Square(Base):
        ...     __tablename__ = "squares"
        ...     x: Mapped[int]
        >>> def square(params):
        ...     pathlib.Path(params["result_file"]).write_text(str(params["x"] ** 2))
        >>> place = tempfile.mkdtemp()
        >>> store = Store(square, Square, place, ".txt", f"sqlite:///{place}/squares.sqlite3")
        >>> pathlib.Path(store.run_or_retrieve({"x": 3}).result_file).read_text()
        '9'
    """

    def __init__(
        self,
        runner: Runner,
        result_cls: type[R],
        results_dir: str | os.PathLike[str] = "./results",
        file_suffix: str = ".h5",
        db_url: str = "sqlite:///db.sqlite3",
    ) -> None:
        """`runner` gets a dict of the params, `id`, and `result_file`, the path for its result.

        `db_url` is `sqlite:///FILE`, a PostgreSQL URL, or the name of an environment variable that
        holds one. *Raises* InputError, StoreError. *Writes* the directory, and the model's table if
        it is missing; a task only reads the table.
        """
        if not callable(runner):
            raise InputError(f"runner is a {type(runner).__name__}, not a function")
        if not (isinstance(result_cls, type) and issubclass(result_cls, Base)):
            raise InputError(
                f"result_cls is {result_cls!r:.60}, not a model",
                next_step="Give a class that inherits from hpcsweep.Base.",
            )
        self._model = result_cls
        self._instances = class_mapper(result_cls).class_manager
        self._results = ResultDirectory(Path(results_dir), file_suffix)
        self._marks = DirtyMarks(self._results)
        location, table = _location(db_url), result_cls.__table__
        self._columns = ParamColumns(table, in_postgresql=isinstance(location, URL))
        self._table = CacheTable(location, table, self._results.path)
        # A task leaves the table to other processes: see `_upsert_entries`.
        self._in_task = IN_TASK in os.environ
        self._produce = ResultProducer(runner, self._results, skips_table=self._in_task)
        self._results.make()
        self._table.make(may_change=not self._in_task)
        self._apply_marks()

    @property
    def results_dir(self) -> Path:
        """The absolute path of the results.

        Examples:
            >>> store.results_dir.is_dir()
            True
        """
        return self._results.path

    @property
    def file_suffix(self) -> str:
        """The suffix of result files.

        Examples:
            >>> store.file_suffix
            '.txt'
        """
        return self._results.suffix

    # --- one record -----------------------------------------------------------------------------

    def retrieve(self, params: Params) -> R | None:
        """The record of these params, or None. A record whose file is gone does not count.

        Examples:
            >>> store.retrieve({"x": 1000}) is None
            True
        """
        case = self._columns.case(params)
        record = self._lookup({case.id: case}).get(case.id)
        if record is not None:
            return record
        entry = self._produce.existing(case)  # made by a process that could not reach the database
        return None if entry is None else self._upsert_entries([entry])[0]

    def run_or_retrieve(self, params: Params, **custom_data: Any) -> R:
        """The record of these params; runs if there is none. `custom_data` is for a new record.

        *Raises* whatever the runner raises, ResultMissing if it wrote nothing, InputError.

        Examples:
            >>> store.run_or_retrieve({"x": 2}).x
            2
        """
        case, noted = self._columns.case(params), _plain_custom_data(custom_data)
        record = self._lookup({case.id: case}).get(case.id)
        return record or self._upsert_entries([self._produce(case, noted)])[0]

    def run(self, params: Params, **custom_data: Any) -> R:
        """Run again and replace the record of these params. *Raises* like `run_or_retrieve`.

        A failed run leaves the existing record and result unchanged.

        Examples:
            >>> store.run({"x": 3}, reason="new compiler").custom_data["reason"]
            'new compiler'
        """
        case, noted = self._columns.case(params), _plain_custom_data(custom_data)
        return self._upsert_entries([self._produce(case, noted, anew=True)])[0]

    def register(
        self, params: Params, result_file: str | os.PathLike[str], **custom_data: Any
    ) -> R:
        """Register an existing result file, which stays where it is.

        *Raises* ResultMissing if it does not exist or is empty.

        Examples:
            >>> with open("earlier.txt", "w") as file:
            ...     print(25, file=file)
            >>> store.register({"x": 5}, "earlier.txt").x
            5
        """
        case, path = self._columns.case(params), Path(result_file)
        if not path.is_file() or path.stat().st_size == 0:
            what = "is empty" if path.is_file() else "is not a file"
            raise ResultMissing(
                what, where=str(path), next_step="Give the file of a finished result."
            )
        entry = Entry(
            id=case.id,
            params=case.params,
            result_file=self._results.relative_name(path),
            created_at=datetime.now(UTC),
            custom_data=_plain_custom_data(custom_data),
        )
        with self._marked_change(case.id):
            self._results.write(entry)
            LOG.info("%s: registered %s", case.id, entry.result_file)
            return self._upsert_entries([entry])[0]

    def patch(self, params: Params | None = None, hash: str | None = None, **custom_data: Any) -> R:
        """Update a record's custom data: set each key, or remove it if the value is None.

        Examples:
            >>> record = store.run_or_retrieve({"x": 6})
            >>> store.patch({"x": 6}, checked=True).custom_data["checked"]
            True
        """
        case_id = self._id_of(params, hash)
        entry = self._results.entry(case_id)
        if entry is None:
            raise InputError("there is no such record", where=case_id, next_step="Run it first.")
        changed = replace(entry, custom_data=patched(entry.custom_data, custom_data))
        with self._marked_change(case_id):
            self._results.write(changed)
            return self._upsert_entries([changed])[0]

    def delete(
        self,
        params: Params | None = None,
        hash: str | None = None,
        remove_file: bool = False,
    ) -> bool:
        """Delete a record, by its params or its id. Returns False if there was none.

        `remove_file` also removes the result, if it lies in `results_dir`. If this is killed, the
        next use of the cache completes it.

        Examples:
            >>> record = store.run_or_retrieve({"x": 7})
            >>> store.delete({"x": 7}, remove_file=True)
            True
        """
        case_id = self._id_of(params, hash)
        self._apply_marks()
        entry = self._results.entry(case_id)
        result = entry.result_file if entry and remove_file else ""
        with self._marked_change(case_id, result):
            existed = self._results.remove(case_id)
            existed = self._table.delete(case_id) or existed
            if result and not self._results.remove_result(result):
                LOG.warning("%s is not in %s and stays", result, self._results.path)
        LOG.info("%s: %s", case_id, "deleted" if existed else "not there")
        return existed

    # --- many -----------------------------------------------------------------------------------

    def list(self, where: Params | None = None) -> builtins.list[R]:
        """The records, oldest first; `where` filters by column values.

        Examples:
            >>> record = store.run_or_retrieve({"x": 8})
            >>> [record.x for record in store.list({"x": 8})]
            [8]
        """
        self._apply_marks()
        params: dict[str, Any] = ids.plain(where or {}, "where")
        records = map(self._record, self._table.matching(params))
        return [record for record in records if self._has_result(record)]

    def sweep(
        self,
        params: bulk_runs.Sweepable,
        client: Any = None,
        cluster: str | None = None,
        **custom_data: Any,
    ) -> builtins.list[R]:
        """The records of many params, in order; runs the missing ones.

        `params` is a grid dict (all combinations, in the order of its keys), a parameter source, or
        an iterable of dicts. The missing cases run in this process; or on `client`, a Dask client
        or any Executor; or on `cluster`, "slurm" or "emulated", as a sweep that this waits for.
        *Raises* CasesFailed after all others ran; it holds their records.

        Examples:
            >>> [record.x for record in store.sweep({"x": [1, 2]})]
            [1, 2]
        """
        self._apply_marks()
        with gc_paused():
            cases = [self._columns.case(item) for item in bulk_runs.expand_params(params)]
            distinct = {case.id: case for case in cases}
            records = self._lookup(distinct)
        missing = [case for case in distinct.values() if case.id not in records]
        LOG.info("%d of %d are there, %d to make", len(records), len(distinct), len(missing))
        failures: dict[str, BaseException] = {}
        noted = _plain_custom_data(custom_data)
        if cluster is None:
            done = bulk_runs.run_cases(self._produce, missing, noted, _executor(client), failures)
        elif client is None:
            done = bulk_runs.run_cases_on_cluster(cluster, self._produce, missing, noted, failures)
        else:
            raise InputError("name a client or a cluster, not both", where="sweep")
        for entries in bulk_runs.batched(done, ROWS_AT_ONCE):
            records |= {record.id: record for record in self._upsert_entries(entries)}
        if failures:
            raise bulk_runs.cases_failed_error(cases, records, failures, str(self._results.path))
        return [records[case.id] for case in cases]

    def map(
        self,
        function: Callable[[R], T],
        params: bulk_runs.Sweepable,
        client: Any = None,
        cluster: str | None = None,
        **custom_data: Any,
    ) -> Iterator[T]:
        """`function` of each record of a sweep, in order.

        Examples:
            >>> list(store.map(lambda record: record.x, {"x": [1, 2]}))
            [1, 2]
        """
        return map(function, self.sweep(params, client, cluster, **custom_data))

    def rebuild(self) -> int:
        """Recreate the table from the entries of `results_dir`. Returns the count of records.

        Entries that do not fit the model's columns, or that the database refuses, are skipped, with
        a warning in the log.

        Examples:
            >>> store.rebuild() == len(store.list())
            True
        """
        self._results.clean()
        return self._table.replace_all(self._rows(self._results.entries()))

    # --- between entries, rows and records --------------------------------------------------------

    def _id_of(self, params: Params | None, case_id: str | None) -> str:
        if (params is None) == (case_id is None):
            raise InputError(
                "it is not clear which record is meant", next_step="Give its params or its id."
            )
        return checked_id(case_id) if params is None else self._columns.case(params).id  # type: ignore[arg-type]

    def _apply_marks(self) -> None:
        """Put into the table what tasks have made, or others while the database was away."""
        if self._in_task:
            return
        for some in bulk_runs.batched(self._marks.read_all(), ROWS_AT_ONCE):
            self._table.upsert(list(self._rows(mark.entry for mark in some if mark.entry)))
            for case_id in {mark.id for mark in some if not mark.entry}:
                self._delete_row(case_id)
            self._marks.settle(some)
            LOG.info("took in %d that were made elsewhere", len(some))

    def _delete_row(self, case_id: str) -> None:
        """Delete a row whose entry is gone."""
        self._table.delete(case_id)
        entry = self._results.entry(case_id)
        if entry is not None:  # another process just wrote it, and its row
            self._table.upsert(list(self._rows([entry])))

    @contextlib.contextmanager
    def _marked_change(self, case_id: str, result: str = "") -> Iterator[None]:
        """Change entry and row of a record; a kill or an unreachable database leaves a mark."""
        mark = self._marks.add(case_id, result=result, has_owner=not self._in_task)
        try:
            yield
        except BaseException:
            self._marks.add(case_id, result=result)
            raise
        finally:
            if not self._in_task:
                self._marks.remove([mark])

    def _rows(self, entries: Iterable[Entry]) -> Iterator[ColumnValues]:
        for entry in entries:
            try:
                yield self._row(entry)
            except InputError as error:
                LOG.warning("left out %s: %s. %s", entry.id, error.what, error.next_step)

    def _row(self, entry: Entry) -> dict[str, Any]:
        values = self._columns.values(self._columns.case(entry.params))
        return values | {
            "id": entry.id,
            "result_file": entry.result_file,
            "created_at": entry.created_at,
            "custom_data": entry.custom_data,
        }

    def _upsert_entries(self, entries: Sequence[Entry]) -> builtins.list[R]:
        """Upsert entries into the table; returns their records, also of refused rows."""
        rows = [self._row(entry) for entry in entries]
        if self._in_task:  # 10,000 tasks would overload it; SQLite may lie on NFS
            return [self._record(row) for row in rows]
        try:
            by_id = {row["id"]: row for row in self._table.upsert(rows)}
        except StoreError:
            for entry in entries:
                self._marks.add(entry.id)
            raise
        finally:
            self._marks.remove(f"{entry.id}.{producer_mark(entry)}" for entry in entries)
        # Refused, or deleted by another process in between: it was made nevertheless.
        return [self._record(by_id.get(row["id"]) or row) for row in rows]

    def _lookup(self, cases: Mapping[str, ResultKey]) -> dict[str, R]:
        """The existing records of these cases, by id."""
        records: dict[str, R] = {}
        where, logs_hits = self._table.where, LOG.isEnabledFor(logging.INFO)

        def keep(row: ColumnValues) -> None:
            self._columns.check_same(cases[row["id"]], row, where)
            record = self._record(row)
            if self._has_result(record):
                records[row["id"]] = record
                if logs_hits:
                    LOG.info("%s: found", row["id"])

        self._table.with_ids(list(cases), keep)
        return records

    def _record(self, row: ColumnValues) -> R:
        """The object of a row, in the state of a closed session."""
        record = self._instances.new_instance()
        values = instance_dict(record)
        values |= row
        values["result_file"] = self._results.resolve(row["result_file"])
        # Like sqlalchemy.orm.make_transient_to_detached, for an object with all columns loaded.
        key = self._instances.mapper.identity_key_from_primary_key((row["id"],))
        instance_state(record).key = key
        return record

    def _has_result(self, record: R) -> bool:
        if self._results.has(record.result_file):
            return True
        LOG.warning("%s: its result %s is gone or empty", record.id, record.result_file)
        return False

    def __repr__(self) -> str:
        return f"<Store of {self._model.__name__} in {self._results.path}>"


def _location(db_url: str) -> Path | URL:
    if not isinstance(db_url, str) or not db_url.startswith("sqlite"):
        return locate_database(str(db_url), Path())
    path = db_url.removeprefix(SQLITE)
    if path == db_url or path in ("", ":memory:"):
        raise InputError(
            f"db_url={db_url!r} names no file",
            next_step="Write sqlite:///results.sqlite3, or sqlite:////an/absolute/path.",
        )
    return Path(path).absolute()


def _plain_custom_data(custom_data: Mapping[str, Any]) -> dict[str, Any]:
    noted: dict[str, Any] = ids.plain(custom_data, "custom_data")
    return noted


def _executor(client: Any) -> Executor | None:
    # A Dask client offers an Executor; with `pure` it would merge equal calls.
    executor = client.get_executor(pure=False) if hasattr(client, "get_executor") else client
    if executor is None or hasattr(executor, "submit"):
        return executor  # type: ignore[no-any-return]
    raise InputError(
        f"client is a {type(client).__name__}", next_step="Give a Dask client, or an Executor."
    )
