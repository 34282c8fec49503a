"""`Store`: run or retrieve. The cache that a notebook and any number of tasks share."""

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
from hpcsweep.cache.table import ROWS_AT_ONCE, CacheTable, Values
from hpcsweep.errors import InputError, ResultMissing, StoreError
from hpcsweep.records import IN_TASK
from hpcsweep.sources import ParameterSource
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.location import locate_store

LOG = logging.getLogger("hpcsweep")

R = TypeVar("R", bound=Base)
T = TypeVar("T")
Params = Mapping[str, Any]
SQLITE = "sqlite:///"


class Store(Generic[R]):
    """Results by their parameters: made once, found ever after. The contract:

    * The params alone name a record: the same params, the same record, in every process, on every
      host, for ever. A parameter that is None is the same as one left out.
    * Of all threads, processes and hosts that want the same record at once, one makes it and the
      others wait for that. When it dies, another takes over, and it can publish nothing any more.
    * A result appears whole or not at all; a run that fails leaves the one before.
    * The database is an index of `results_dir`: whatever becomes of it, `rebuild` makes it again.
      A directory that was copied is as good as the first.
    * What is returned are objects of `result_cls`, detached: changing one changes nothing stored.

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
        """`runner` gets a dict of the params, `id`, and `result_file`, where it writes its result.

        `db_url` is `sqlite:///FILE`, a URL of PostgreSQL, or the name of an environment variable
        that holds one. *Raises* InputError, StoreError. *Writes* the directory, and the model's
        table where it is missing; a task only reads the table.
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
        self._columns = ParamColumns(result_cls.__table__)
        self._results = ResultDirectory(Path(results_dir), file_suffix)
        self._marks = DirtyMarks(self._results)
        self._table = CacheTable(_location(db_url), result_cls.__table__, self._results.path)
        # There it is other processes' to write: see `_indexed`.
        self._in_task = IN_TASK in os.environ
        self._produce = ResultProducer(runner, self._results, skips_table=self._in_task)
        self._results.make()
        self._table.make(may_change=not self._in_task)
        self._take_in()

    @property
    def results_dir(self) -> Path:
        """Where the results are, absolute."""
        return self._results.path

    @property
    def file_suffix(self) -> str:
        """How the names of results end."""
        return self._results.suffix

    # --- one record -----------------------------------------------------------------------------

    def retrieve(self, params: Params) -> R | None:
        """The record of these params, or None. A record whose file is gone does not count."""
        case = self._columns.case(params)
        found = self._found({case.id: case}).get(case.id)
        if found is not None:
            return found
        entry = self._produce.existing(case)  # of a process that could not reach the database
        return None if entry is None else self._indexed([entry])[0]

    def run_or_retrieve(self, params: Params, **custom_data: Any) -> R:
        """The record of these params, made if there is none. `custom_data` is for a new one.

        *Raises* whatever the runner raises, ResultMissing when it wrote nothing, InputError.
        """
        case, noted = self._columns.case(params), _noted(custom_data)
        found = self._found({case.id: case}).get(case.id)
        return found or self._indexed([self._produce(case, noted)])[0]

    def run(self, params: Params, **custom_data: Any) -> R:
        """Make the record of these params anew, in place of one that is there. *Raises* as above.

        A run that fails leaves the record and the result that were there.
        """
        case, noted = self._columns.case(params), _noted(custom_data)
        return self._indexed([self._produce(case, noted, anew=True)])[0]

    def register(
        self, params: Params, result_file: str | os.PathLike[str], **custom_data: Any
    ) -> R:
        """Take over a result that was made elsewhere; it stays where it is.

        *Raises* ResultMissing when it is not there, or empty.
        """
        case, path = self._columns.case(params), Path(result_file)
        if not path.is_file() or path.stat().st_size == 0:
            what = "is empty" if path.is_file() else "is no file"
            raise ResultMissing(
                what, where=str(path), next_step="Give the file of a finished result."
            )
        entry = Entry(
            id=case.id,
            params=case.params,
            result_file=self._results.relative_name(path),
            created_at=datetime.now(UTC),
            custom_data=_noted(custom_data),
        )
        with self._changing(case.id):
            self._results.write(entry)
            LOG.info("%s: registered %s", case.id, entry.result_file)
            return self._indexed([entry])[0]

    def patch(self, params: Params | None = None, hash: str | None = None, **custom_data: Any) -> R:
        """Note something beside a result: each key is set, or removed where it is None."""
        case_id = self._named(params, hash)
        entry = self._results.entry(case_id)
        if entry is None:
            raise InputError("there is no such record", where=case_id, next_step="Run it first.")
        changed = replace(entry, custom_data=patched(entry.custom_data, custom_data))
        with self._changing(case_id):
            self._results.write(changed)
            return self._indexed([changed])[0]

    def delete(
        self,
        params: Params | None = None,
        hash: str | None = None,
        remove_file: bool = False,
    ) -> bool:
        """Forget a record, by its params or its id. False when there was none.

        `remove_file` removes the result, too, if it lies in `results_dir`. What a kill leaves of
        this, the next look at the cache ends.
        """
        case_id = self._named(params, hash)
        self._take_in()
        entry = self._results.entry(case_id)
        result = entry.result_file if entry and remove_file else ""
        with self._changing(case_id, result):
            there = self._results.remove(case_id)
            there = self._table.delete(case_id) or there
            if result and not self._results.remove_result(result):
                LOG.warning("%s is not in %s and stays", result, self._results.path)
        LOG.info("%s: %s", case_id, "deleted" if there else "not there")
        return there

    # --- many -----------------------------------------------------------------------------------

    def list(self, where: Params | None = None) -> builtins.list[R]:
        """The records, oldest first; `where` gives values that columns must have."""
        self._take_in()
        wanted: dict[str, Any] = ids.plain(where or {}, "where")
        records = map(self._record, self._table.matching(wanted))
        return [record for record in records if self._is_there(record)]

    def sweep(
        self,
        params: ParameterSource | Mapping[str, Iterable[Any]] | Iterable[Params],
        client: Any = None,
        cluster: str | None = None,
        **custom_data: Any,
    ) -> builtins.list[R]:
        """The records of many params, in their order; what is missing is made.

        `params` is a grid dict (all combinations, in the order of its keys), a parameter source,
        or dicts one by one. What is missing makes this process; or `client`, a Dask client or any
        Executor; or `cluster`, "slurm" or "emulated", as a sweep of its own that is waited for.
        *Raises* CasesFailed, when all others are made; it has the records of those.
        """
        self._take_in()
        with gc_paused():
            cases = [self._columns.case(each) for each in bulk_runs.expand_params(params)]
            distinct = {case.id: case for case in cases}
            records = self._found(distinct)
        missing = [case for case in distinct.values() if case.id not in records]
        LOG.info("%d of %d are there, %d to make", len(records), len(distinct), len(missing))
        failures: dict[str, BaseException] = {}
        noted = _noted(custom_data)
        if cluster is None:
            done = bulk_runs.run_cases(self._produce, missing, noted, _executor(client), failures)
        elif client is None:
            done = bulk_runs.run_cases_on_cluster(cluster, self._produce, missing, noted, failures)
        else:
            raise InputError("name a client or a cluster, not both", where="sweep")
        for entries in bulk_runs.batched(done, ROWS_AT_ONCE):
            records |= {record.id: record for record in self._indexed(entries)}
        if failures:
            raise bulk_runs.cases_failed(cases, records, failures, str(self._results.path))
        return [records[case.id] for case in cases]

    def map(
        self,
        function: Callable[[R], T],
        params: ParameterSource | Mapping[str, Iterable[Any]] | Iterable[Params],
        client: Any = None,
        cluster: str | None = None,
        **custom_data: Any,
    ) -> Iterator[T]:
        """`function` of each record of a sweep, in its order."""
        return map(function, self.sweep(params, client, cluster, **custom_data))

    def rebuild(self) -> int:
        """Make the table again from the entries of `results_dir`. Returns the count of records.

        Entries that the model has no columns for are left out, with a warning.
        """
        self._results.clean()
        return self._table.replace_all(self._rows(self._results.entries()))

    # --- between entries, rows and records --------------------------------------------------------

    def _named(self, params: Params | None, case_id: str | None) -> str:
        if (params is None) == (case_id is None):
            raise InputError("say which record: give its params, or its id")
        return checked_id(case_id) if params is None else self._columns.case(params).id  # type: ignore[arg-type]

    def _take_in(self) -> None:
        """Put into the table what tasks have made, or others while the database was away."""
        if self._in_task:
            return
        for some in bulk_runs.batched(self._marks.found(), ROWS_AT_ONCE):
            self._table.upsert(list(self._rows(mark.entry for mark in some if mark.entry)))
            for case_id in {mark.id for mark in some if not mark.entry}:
                self._drop(case_id)
            self._marks.settle(some)
            LOG.info("took in %d that were made elsewhere", len(some))

    def _drop(self, case_id: str) -> None:
        """Remove a row whose entry is gone."""
        self._table.delete(case_id)
        entry = self._results.entry(case_id)
        if entry is not None:  # which another process wrote meanwhile, and its row
            self._table.upsert(list(self._rows([entry])))

    @contextlib.contextmanager
    def _changing(self, case_id: str, result: str = "") -> Iterator[None]:
        """Change entry and row of a record; a kill, or a database that is away, leaves a mark."""
        mark = self._marks.add(case_id, result=result, mine=not self._in_task)
        try:
            yield
        except BaseException:
            self._marks.add(case_id, result=result)
            raise
        finally:
            if not self._in_task:
                self._marks.remove([mark])

    def _rows(self, entries: Iterable[Entry]) -> Iterator[Values]:
        for entry in entries:
            try:
                yield self._row(entry)
            except InputError as error:
                LOG.warning("left out %s: %s", entry.id, error.what)

    def _row(self, entry: Entry) -> dict[str, Any]:
        values = self._columns.values(self._columns.case(entry.params))
        return values | {
            "id": entry.id,
            "result_file": entry.result_file,
            "created_at": entry.created_at,
            "custom_data": entry.custom_data,
        }

    def _indexed(self, entries: Sequence[Entry]) -> builtins.list[R]:
        """Put entries into the table; their records, as it has them."""
        rows = [self._row(entry) for entry in entries]
        if self._in_task:  # ten thousand of them would; and SQLite may lie on a network file system
            return [self._record(row) for row in rows]
        try:
            known = {row["id"]: row for row in self._table.upsert(rows)}
        except StoreError:
            for entry in entries:
                self._marks.add(entry.id)
            raise
        finally:
            self._marks.remove(f"{entry.id}.{producer_mark(entry)}" for entry in entries)
        # What somebody deleted in between was made nevertheless.
        return [self._record(known.get(row["id"]) or row) for row in rows]

    def _found(self, cases: Mapping[str, ResultKey]) -> dict[str, R]:
        """The records of cases that are there; all by id."""
        found: dict[str, R] = {}
        where, tells = self._table.where, LOG.isEnabledFor(logging.INFO)

        def look(row: Values) -> None:
            self._columns.check_same(cases[row["id"]], row, where)
            record = self._record(row)
            if self._is_there(record):
                found[row["id"]] = record
                if tells:
                    LOG.info("%s: found", row["id"])

        self._table.with_ids(list(cases), look)
        return found

    def _record(self, row: Values) -> R:
        """The object of a row, as a session that was closed would leave it."""
        record = self._instances.new_instance()
        values = instance_dict(record)
        values |= row
        values["result_file"] = self._results.resolve(row["result_file"])
        # What sqlalchemy.orm.make_transient_to_detached does for an object with all its columns.
        key = self._instances.mapper.identity_key_from_primary_key((row["id"],))
        instance_state(record).key = key
        return record

    def _is_there(self, record: R) -> bool:
        if self._results.has(record.result_file):
            return True
        LOG.warning("%s: its result %s is gone or empty", record.id, record.result_file)
        return False

    def __repr__(self) -> str:
        return f"<Store of {self._model.__name__} in {self._results.path}>"


def _location(db_url: str) -> Path | URL:
    if not isinstance(db_url, str) or not db_url.startswith("sqlite"):
        return locate_store(str(db_url), Path())
    path = db_url.removeprefix(SQLITE)
    if path == db_url or path in ("", ":memory:"):
        raise InputError(
            f"db_url={db_url!r} names no file",
            next_step="Write sqlite:///results.sqlite3, or sqlite:////an/absolute/path.",
        )
    return Path(path).absolute()


def _noted(custom_data: Mapping[str, Any]) -> dict[str, Any]:
    noted: dict[str, Any] = ids.plain(custom_data, "custom_data")
    return noted


def _executor(client: Any) -> Executor | None:
    # A Dask client gives one of the standard library's form; `pure` would merge equal calls.
    executor = client.get_executor(pure=False) if hasattr(client, "get_executor") else client
    if executor is None or hasattr(executor, "submit"):
        return executor  # type: ignore[no-any-return]
    raise InputError(
        f"client is a {type(client).__name__}", next_step="Give a Dask client, or an Executor."
    )
