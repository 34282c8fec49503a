"""The cache on each database: what the quickstart shows, and none of E1 to E25."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from sqlalchemy import CheckConstraint, event

import hpcsweep as hs
from hpcsweep import Base, Mapped, Store, expand_grid, mapped_column
from hpcsweep.cache.files.dirty_marks import DirtyMarks
from hpcsweep.cache.files.result_directory import ResultDirectory
from hpcsweep.errors import CasesFailed, InputError, ResultMissing, StoreError
from tests.support.backends import Backend, direct_backend
from tests.support.caching import Calls, MakeStore, SimResult, make_store, simulate, url_of
from tests.support.postgres import Place, database, postgres

__all__ = ["database", "direct_backend", "make_store", "postgres"]

PARAMS: dict[str, Any] = {"n": 100, "steps": 50, "dt": 0.01}


def some(n: Any = 1, **more: Any) -> dict[str, Any]:
    """Params of the model."""
    return {"n": n, "steps": 1, "dt": 0.5} | more


def retrieved(store: Store[Any], params: dict[str, Any]) -> Any:
    """A record that is there."""
    record = store.retrieve(params)
    assert record is not None
    return record


def contents(store: Store[Any]) -> set[str]:
    """The names of the results that are there."""
    return {path.name for path in store.results_dir.iterdir() if not path.name.startswith(".")}


def without(model: str, **columns: Any) -> Any:
    """A model of another shape on the table `results`."""
    body = {"__tablename__": "results", "__module__": __name__, "__annotations__": columns}
    return type(model, (Base,), body)


# --- the page, line by line -----------------------------------------------------------------------


def test_the_quickstart(
    direct_backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    class Quick(Base):
        __tablename__ = "results"
        n: Mapped[int]
        steps: Mapped[int]
        dt: Mapped[float]

    ran: list[str] = []

    def my_sim(params: dict[str, Any]) -> None:
        ran.append(params["id"])
        simulate(params)

    store = Store(
        runner=my_sim,
        result_cls=Quick,
        results_dir="./results",
        db_url=url_of(direct_backend),
        file_suffix=".npy",
    )
    record = store.run_or_retrieve(PARAMS)
    assert np.load(record.result_file).shape == (100, 50)
    assert record.id == hs.manual([PARAMS])[0].case_id
    assert len(record.id) == 16
    assert Path(record.result_file) == tmp_path / "results" / f"{record.id}.npy"
    assert record.created_at.utcoffset() == datetime.timedelta(0)
    assert record.custom_data["elapsed_seconds"] >= 0
    assert (record.n, record.dt) == (100, 0.01)

    assert store.run_or_retrieve(PARAMS).id == record.id
    found = store.retrieve(PARAMS)
    assert found is not None
    assert isinstance(found, Quick)
    assert found.created_at == record.created_at
    assert store.retrieve(PARAMS | {"n": 101}) is None
    assert len(ran) == 1

    again = store.run(PARAMS)
    assert (again.id, len(ran)) == (record.id, 2)
    assert again.created_at > record.created_at

    assert store.delete(PARAMS) is True
    assert Path(record.result_file).exists()
    assert store.delete(PARAMS) is False
    store.register(PARAMS, result_file=record.result_file)
    assert store.retrieve(PARAMS) is not None
    assert store.delete(PARAMS, remove_file=True) is True
    assert not Path(record.result_file).exists()

    grid: dict[str, list[Any]] = {"n": [100], "steps": [5], "dt": [0.01, 0.005, 0.001]}
    records = store.sweep(grid)
    assert [record.dt for record in records] == [0.01, 0.005, 0.001]
    noted = store.run_or_retrieve(
        {"n": 100, "steps": 6, "dt": 0.01}, git_sha="abc123", note="initial sweep"
    )
    assert noted.custom_data.keys() == {"elapsed_seconds", "git_sha", "note"}


def test_the_runner_gets_plain_values(make_store: MakeStore) -> None:
    """Plain values, as in a sweep; the id, and a path that is not yet the result's."""
    calls = Calls()
    record = make_store(calls).run({"n": np.int64(3), "steps": 1, "dt": np.float64(0.5)})
    (seen,) = calls.seen
    assert {name: type(seen[name]) for name in ("n", "dt")} == {"n": int, "dt": float}
    assert seen["id"] == record.id
    assert Path(seen["result_file"]).name == Path(record.result_file).name
    assert seen["result_file"] != record.result_file


def test_list_and_map(make_store: MakeStore) -> None:
    store = make_store()
    store.sweep([some(3), some(1), some(2, label="a")])
    assert [record.n for record in store.list()] == [3, 1, 2]
    assert [record.n for record in store.list({"label": "a"})] == [2]
    assert [record.n for record in store.list(where={"n": 1, "steps": 1})] == [1]
    assert store.list({"n": 9}) == []
    found = store.map(lambda record: (record.n, Path(record.result_file).exists()), [some(2)])
    assert list(found) == [(2, True)]
    with pytest.raises(InputError, match="no column energy"):
        store.list({"energy": 1})


def test_params_that_sweep_accepts(make_store: MakeStore) -> None:
    store = make_store()
    grid: dict[str, list[Any]] = {"n": [5, 3], "steps": [1], "dt": [0.5, 0.25]}
    wanted = [(5, 0.5), (5, 0.25), (3, 0.5), (3, 0.25)]
    for params in (
        grid,
        expand_grid(grid),
        list(expand_grid(grid)),
        hs.manual(list(expand_grid(grid))),
    ):
        assert [(record.n, record.dt) for record in store.sweep(params)] == wanted
    assert len(store.list()) == 4
    assert store.sweep([]) == []


def test_patches(make_store: MakeStore) -> None:
    store = make_store()
    record = store.run(some(), a=1, b=2)
    changed = store.patch(some(), a=None, c=[1, {"d": None}])
    assert changed.custom_data == {
        "elapsed_seconds": record.custom_data["elapsed_seconds"],
        "b": 2,
        "c": [1, {"d": None}],
    }
    found = retrieved(store, some())
    assert found.custom_data == changed.custom_data
    assert found.created_at == record.created_at
    record.apply_patch({"n": 7, "label": None, "custom_data": {"a": None}})
    assert (record.n, record.label, record.custom_data.get("a")) == (7, None, None)
    record.apply_patch({"custom_data": {}})
    assert record.custom_data == {}
    assert retrieved(store, some()).custom_data == changed.custom_data


def test_a_copied_directory_is_as_good(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    store.sweep([some(1), some(2)])
    outside = tmp_path / "outside.txt"
    outside.write_text("here")
    store.register(some(3), outside)
    shutil.copytree(store.results_dir, tmp_path / "copy")
    calls = Calls()
    copy = make_store(
        calls, results_dir=tmp_path / "copy", db_url=f"sqlite:///{tmp_path}/c.sqlite3"
    )
    assert copy.list() == []
    assert copy.rebuild() == 3
    files = [Path(record.result_file) for record in copy.list()]
    assert [path.parent for path in files] == [tmp_path / "copy"] * 2 + [tmp_path]
    assert len(calls) == 0


def test_the_table_is_an_index(make_store: MakeStore, direct_backend: Backend) -> None:
    """Without it, or with an old one, no result is made twice."""
    calls = Calls()
    store = make_store(calls)
    before = [vars_of(record) for record in store.sweep([some(n, label="x") for n in range(5)])]
    direct_backend.raw("DELETE FROM results")
    assert store.list() == []
    assert retrieved(store, some(3, label="x")).n == 3
    assert store.run_or_retrieve(some(4, label="x")).n == 4
    assert len(store.list()) == 2
    assert store.rebuild() == 5
    assert [vars_of(record) for record in store.list()] == before
    assert len(calls) == 5
    store.delete(some(0, label="x"))
    store.rebuild()
    assert len(store.list()) == 4


def vars_of(record: Base) -> dict[str, Any]:
    """The columns of a record."""
    return {name: getattr(record, name) for name in record.__table__.columns.keys()}  # noqa: SIM118


# --- E1 to E25 --------------------------------------------------------------------------------


def test_e1_close_numbers_are_different(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    records = store.sweep([some(dt=dt) for dt in (1e-13, 2e-13, 0.0, -0.0)])
    assert [record.dt for record in records] == [1e-13, 2e-13, 0.0, 0.0]
    assert len(calls) == 3


def test_e2_e3_equal_numbers_are_the_same(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    equal = [some(1), some(1.0), some(np.int64(1)), some(np.float64(1)), some(1, steps=1.0)]
    assert {record.id for record in store.sweep(equal)} == {store.run_or_retrieve(some(1)).id}
    assert len(calls) == 1
    with pytest.raises(InputError, match="float32"):
        store.retrieve(some(dt=np.float32(0.1)))
    with pytest.raises(InputError, match="the column n holds int, not True"):
        store.retrieve(some(True))


@pytest.mark.parametrize("value", [np.zeros(2), object(), {1, 2}, b"x", {1: 2}])
def test_e4_e5_what_has_no_exact_form_is_refused(make_store: MakeStore, value: object) -> None:
    store = make_store()
    with pytest.raises(InputError, match=r"params\.dt"):
        store.run_or_retrieve(some(dt=value))
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InputError, match="contains itself"):
        store.run_or_retrieve(some(dt=cycle))


def test_e6_none_equals_an_omitted_parameter(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    first, second = store.run_or_retrieve(some()), store.run_or_retrieve(some(label=None))
    assert first.id == second.id
    assert len(calls) == 1
    with pytest.raises(InputError, match="the parameter n is missing"):
        store.run(some(None))


def test_e7_records_are_in_the_order_of_the_input(make_store: MakeStore) -> None:
    store = make_store()
    assert [record.n for record in store.sweep([some(n) for n in (5, 3, 4, 3)])] == [5, 3, 4, 3]


def test_e8_wrong_params_are_refused_before_anything_runs(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    with pytest.raises(InputError, match=r"no column for the parameter lable\n.*label"):
        store.sweep([some(1), some(2), some(3, lable="x")])
    assert len(calls) == 0


def test_what_no_column_can_hold_is_refused_before_anything_runs(
    make_store: MakeStore, direct_backend: Backend
) -> None:
    calls = Calls()
    store = make_store(calls)
    seeds = [2**32 - 1, -(2**63), 2**63 - 1]  # PostgreSQL's INTEGER has 32 bits
    assert [store.run_or_retrieve(some(seed)).n for seed in seeds] == seeds
    for beyond in (2**63, -(2**63) - 1):
        with pytest.raises(InputError, match="the column n holds integers of 64 bits"):
            store.run_or_retrieve(some(beyond))
    if not direct_backend.is_file:
        with pytest.raises(InputError, match="label has a null character"):
            store.run_or_retrieve(some(label="a\0b"))
    assert len(calls) == 3
    assert sorted(record.n for record in store.list()) == sorted(seeds)


def test_a_rebuild_keeps_params_that_some_records_lack(make_store: MakeStore) -> None:
    store = make_store()
    labels = [None, "a", None, "b"]
    for n, label in enumerate(labels):
        store.run_or_retrieve(some(n) | ({"label": label} if label else {}))
    assert store.rebuild() == len(labels)
    assert sorted((record.n, record.label) for record in store.list()) == [*enumerate(labels)]


def test_a_rebuild_keeps_what_the_database_can_hold(
    make_store: MakeStore, direct_backend: Backend
) -> None:
    store = make_store()
    held = [some(-(2**63)), some(2)] + [some(label="a\0b")] * direct_backend.is_file
    for params in held:
        store.run_or_retrieve(params)
    assert store.rebuild() == len(held)
    assert all(retrieved(store, params) for params in held)


def test_a_row_that_the_database_refuses_costs_itself_alone(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Checked(Base):
        __tablename__ = "checked"
        __table_args__ = (CheckConstraint("n <> 13"),)
        n: Mapped[int]
        label: Mapped[Optional[str]]  # noqa: UP045  # read while it runs

    calls = Calls()
    store = make_store(calls, Checked)
    params: list[dict[str, Any]] = [{"n": 13}, {"n": 3}, {"n": 2, "label": "a"}]
    records = store.sweep(params)
    assert [record.n for record in records] == [13, 3, 2]
    assert [retrieved(store, some).n for some in params] == [13, 3, 2]
    for record in records:  # as tasks mark theirs
        DirtyMarks(ResultDirectory(store.results_dir, "")).add(record.id)
    caplog.clear()
    assert [record.n for record in make_store(calls, Checked).list()] == [3, 2]
    (said,) = (line.getMessage() for line in caplog.records)
    assert re.search(rf"left out {records[0].id}: .*checked refuses .*(?i:check).*rebuild", said)
    assert store.rebuild() == 2
    # Rows with other columns than the first one's keep theirs.
    assert {record.n: record.label for record in store.list()} == {3: None, 2: "a"}
    assert len(calls) == 3


@pytest.mark.postgres
def test_a_rebuild_widens_a_table_of_32_bits(database: Place, tmp_path: Path) -> None:
    def open_store() -> Store[SimResult]:
        return Store(Calls(), SimResult, tmp_path / "results", ".json", database.url)

    store = open_store()
    database.execute("ALTER TABLE results ALTER n TYPE INTEGER, ALTER steps TYPE INTEGER")
    wide, narrow = store.sweep([some(2**32 - 1), some(1)])
    assert [record.id for record in open_store().list()] == [narrow.id]
    assert open_store().rebuild() == 2
    assert {record.id: record.n for record in store.list()} == {wide.id: 2**32 - 1, narrow.id: 1}


def test_e9_one_failing_case_costs_one_case(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    cases = [
        some(1),
        some(2, label="fails"),
        some(3),
        some(4, label="fails"),
        some(2, label="fails"),
    ]
    with pytest.raises(CasesFailed, match="2 of 4 cases failed: ValueError: no good") as caught:
        store.sweep(cases)
    assert len(calls) == 4
    error = caught.value
    assert [record and record.n for record in error.records] == [1, None, 3, None, None]  # type: ignore[attr-defined]
    assert {at: str(one) for at, one in error.failures.items()} == dict.fromkeys(
        (1, 3, 4), "no good"
    )
    assert isinstance(error.__cause__, ExceptionGroup)
    assert [record.n for record in store.list()] == [1, 3]
    with pytest.raises(ValueError, match="no good"):
        store.run_or_retrieve(some(2, label="fails"))


def test_e14_a_failed_run_leaves_the_earlier_result(make_store: MakeStore) -> None:
    modes = ["good"]

    def runner(params: dict[str, Any]) -> None:
        path = Path(params["result_file"])
        if modes[-1] == "good":
            path.write_text("good")
        elif modes[-1] == "part":
            path.write_text("par")
            raise RuntimeError("half way")
        elif modes[-1] == "empty":
            path.touch()

    store = make_store(runner)
    before = store.run(some())
    for mode, error in (("part", RuntimeError), ("empty", ResultMissing), ("none", ResultMissing)):
        modes.append(mode)
        with pytest.raises(error):
            store.run(some())
        assert Path(retrieved(store, some()).result_file).read_text() == "good"
        assert retrieved(store, some()).created_at == before.created_at
    assert list((store.results_dir / ".claims").iterdir()) == []


def test_e14_a_record_whose_file_is_gone_does_not_count(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    store = make_store(calls)
    record = store.run(some())
    for damage in (Path.unlink, lambda path: path.write_text("")):
        damage(Path(record.result_file))
        caplog.clear()
        assert store.retrieve(some()) is None
        assert "gone or empty" in caplog.text
        assert Path(store.run_or_retrieve(some()).result_file).read_text() != ""
    assert len(calls) == 3


def test_e15_e16_any_suffix_and_the_files_of_others(make_store: MakeStore) -> None:
    store = make_store(file_suffix=".json")
    mine = store.results_dir / "mine.json"
    mine.write_text("{}")
    record = store.sweep([some()])[0]
    assert json.loads(Path(record.result_file).read_text())["n"] == 1
    store.rebuild()
    assert contents(store) == {"mine.json", f"{record.id}.json"}


def test_e17_a_name_that_numpy_makes_longer(make_store: MakeStore) -> None:
    store = make_store(simulate, file_suffix=".h5")
    record = store.run(some(2))
    assert record.result_file.endswith(".h5.npy")
    assert np.load(record.result_file).shape == (2, 1)
    assert retrieved(store, some(2)).result_file == record.result_file


def test_e18_a_relative_directory_stays_where_it_was(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = make_store(results_dir="rel")
    record = store.run(some(1))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Path(store.run(some(2)).result_file).parent == tmp_path / "rel"
    assert Path(retrieved(store, some(1)).result_file).read_text()
    assert store.delete(some(1), remove_file=True)
    assert not Path(record.result_file).exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("name", ["id", "result_file", "created_at", "custom_data"])
def test_e19_e20_reserved_names(make_store: MakeStore, name: str) -> None:
    store = make_store()
    with pytest.raises(InputError, match=f"{name} is filled by the cache"):
        store.run(some(**{name: "../../evil"}))
    with pytest.raises(InputError, match="has no exact JSON form"):
        store.run(some(label=datetime.datetime.now(datetime.UTC)))


def test_e20_numpy_and_nan(make_store: MakeStore, direct_backend: Backend, tmp_path: Path) -> None:
    store = make_store()
    (tmp_path / "file").write_text("x")
    store.register(some(np.int64(4)), tmp_path / "file", note=np.float64(0.5))
    assert direct_backend.raw("SELECT n + 1 FROM results") == [(5,)]
    assert retrieved(store, some(4)).custom_data == {"note": 0.5}
    with pytest.raises(InputError, match=r"params\.dt.*nan|nan.*no JSON form"):
        store.run(some(dt=float("nan")))
    with pytest.raises(InputError, match=r"custom_data\.x"):
        store.run(some(), x=float("inf"))


def test_e21_a_store_makes_its_own_table_only(
    make_store: MakeStore, direct_backend: Backend
) -> None:
    class Other(Base):
        __tablename__ = "others"
        x: Mapped[int]

    make_store()
    assert Other.__tablename__ == "others"
    names = (
        "SELECT name FROM sqlite_master"
        if direct_backend.is_file
        else ("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    )
    assert "others" not in {row[0] for row in direct_backend.raw(names)}


def test_e22_a_new_column_that_may_be_empty(make_store: MakeStore) -> None:
    old = make_store(model=without("Old", n=Mapped[int], steps=Mapped[int], dt=Mapped[float]))
    old.run({"n": 1, "steps": 1, "dt": 0.5})
    new = make_store()
    assert retrieved(new, some(1)).label is None
    assert new.run(some(2, label="x")).label == "x"
    # The old program goes on.
    assert old.retrieve(some(2)) is None
    assert old.run({"n": 3, "steps": 1, "dt": 0.5}).n == 3


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        (
            {"n": Mapped[int], "extra": Mapped[int]},
            "it has no column extra, which may not be empty",
        ),
        (
            {"n": Mapped[str], "steps": Mapped[int], "dt": Mapped[float]},
            "n holds int, in the model str",
        ),
        (
            {"n": Mapped[int], "steps": Mapped[int]},
            "the model has no column dt, which may not be empty",
        ),
        (
            {"n": Mapped[Optional[int]], "steps": Mapped[int], "dt": Mapped[float]},  # noqa: UP045
            "n may be empty in the model only",
        ),
    ],
)
def test_e22_two_models_on_one_table(
    make_store: MakeStore, columns: dict[str, Any], difference: str
) -> None:
    store = make_store()
    store.run(some())
    with pytest.raises(StoreError, match=difference):
        make_store(model=without("Other", **columns))
    assert store.retrieve(some()) is not None


def test_e23_more_cases_than_a_query_has_variables(make_store: MakeStore) -> None:
    store = make_store()
    store.sweep([some(n) for n in range(20)])
    cases = [store._columns.case(some(n)) for n in range(70_000)]  # noqa: SLF001
    found = store._lookup({case.id: case for case in cases})  # noqa: SLF001
    assert len(found) == 20


def test_e24_files_outside_stay(
    make_store: MakeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store()
    outside, inside = tmp_path / "outside", store.results_dir / "mine"
    for number, path in enumerate((outside, inside)):
        path.write_text("x")
        assert store.register(some(number), path).result_file == str(path)
        assert store.delete(some(number), remove_file=True)
    assert outside.exists()
    assert "stays" in caplog.text
    assert not inside.exists()
    for ancestral in (ResultMissing, FileNotFoundError):
        with pytest.raises(ancestral, match="is not a file"):
            store.register(some(), tmp_path / "nothing")
    outside.write_text("")
    with pytest.raises(ResultMissing, match="is empty"):
        store.register(some(), outside)


def test_e24_a_run_again_has_its_own_time_and_notes(make_store: MakeStore) -> None:
    store = make_store()
    before = store.run(some(), note="first")
    assert store.patch(some(), more=1).custom_data.keys() == {"elapsed_seconds", "note", "more"}
    after = store.run(some(), note="second")
    assert after.created_at > before.created_at
    assert after.custom_data.keys() == {"elapsed_seconds", "note"}


def test_e25_number_of_database_and_disk_operations(
    make_store: MakeStore, direct_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for a run, one query for a look-up and for every 900 hits; one sync."""
    store = make_store()
    store.sweep([some(n) for n in range(1000)])
    asked: list[str] = []
    synced: list[int] = []
    engine = store._table._database._engine  # noqa: SLF001

    @event.listens_for(engine, "before_cursor_execute")
    def _note(*arguments: Any) -> None:
        asked.append(arguments[2].split()[0])

    for name in ("connect", "commit"):
        event.listen(engine, name, lambda *_, name=name: asked.append(name))
    fsync = os.fsync

    def note_fsync(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_fsync)

    def done(work: Callable[[], Any]) -> list[str]:
        asked.clear()
        synced.clear()
        work()
        return [what for what in asked if what in ("connect", "INSERT", "SELECT", "commit")]

    connects = [] if direct_backend.is_file else ["connect", "SELECT"]  # its settings
    assert done(lambda: store.run(some(5000))) == [*connects, "INSERT", "SELECT", "commit"]
    assert len(synced) == 1
    assert done(lambda: store.retrieve(some(5000))) == [*connects, "SELECT", "commit"]
    hits = [some(n) for n in range(1000)]
    assert done(lambda: store.sweep(hits)) == [*connects, *["SELECT"] * 2, "commit"]
    assert not synced


def test_a_registered_result_takes_the_place_of_another(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    first = store.run(some())
    (tmp_path / "better").write_text("better")
    second = store.register(some(), tmp_path / "better")
    assert retrieved(store, some()).result_file == second.result_file
    assert Path(first.result_file).exists()
    assert len(store.list()) == 1


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "a/b", "", "0" * 15, "G" * 16, "0" * 17, 5])
def test_ids_that_name_no_record(make_store: MakeStore, name: Any) -> None:
    store = make_store()
    with pytest.raises(InputError, match="is not the id of a record"):
        store.delete(hash=name)
    with pytest.raises(InputError, match="which record"):
        store.delete()
    with pytest.raises(InputError, match="which record"):
        store.delete(some(), hash="0" * 16)


def test_delete_by_id(make_store: MakeStore) -> None:
    store = make_store()
    record = store.run(some())
    assert store.delete(hash=record.id)
    assert not store.delete(hash=record.id)


@pytest.mark.parametrize("suffix", ["/../x", "a\0", "x" * 101, 5])
def test_suffixes_that_leave_the_directory(make_store: MakeStore, suffix: Any) -> None:
    with pytest.raises(InputError, match="would leave the results directory"):
        make_store(file_suffix=suffix)


def test_a_row_that_was_changed_by_hand(make_store: MakeStore, direct_backend: Backend) -> None:
    """The cache raises an error instead of returning a wrong result."""
    store = make_store()
    record = store.run(some(1))
    direct_backend.raw("UPDATE results SET n = 2")
    with pytest.raises(StoreError, match="has n = 2, these params 1"):
        store.retrieve(some(1))
    store.rebuild()
    assert retrieved(store, some(1)).id == record.id
    direct_backend.raw("UPDATE results SET result_file = '../../etc/passwd'")
    with pytest.raises(InputError, match="would leave the results directory"):
        store.retrieve(some(1))


def test_a_newer_table(make_store: MakeStore, direct_backend: Backend) -> None:
    make_store().run(some())
    direct_backend.raw("UPDATE hpcsweep_caches SET version = 99")
    with pytest.raises(StoreError, match=r"newer hpcsweep \(version 99"):
        make_store()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runner": 5}, "runner is a int"),
        ({"model": dict}, "not a model"),
        ({"db_url": "sqlite://"}, "names no file"),
        ({"db_url": "sqlite:///:memory:"}, "names no file"),
        ({"db_url": "mysql://x/y"}, "another kind of database"),
        ({"db_url": "nothing"}, "not the URL"),
        ({"db_url": "NO_SUCH_VARIABLE"}, "variable is not set"),
    ],
)
def test_arguments_that_are_refused(
    make_store: MakeStore, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, StoreError), match=message):
        make_store(**arguments)


@pytest.mark.parametrize("params", ["text", 5, {"n": 5}, {"n": "abc"}, hs.grid(n=[1]).repeat(2)])
def test_params_that_sweep_refuses(make_store: MakeStore, params: Any) -> None:
    with pytest.raises(InputError):
        make_store().sweep(params)


def test_models_that_are_refused() -> None:
    with pytest.raises(InputError, match="has no table"):

        class NoTable(Base):
            n: Mapped[int]

    with pytest.raises(InputError, match="cannot be mapped"):

        class NoType(Base):
            __tablename__ = "x"
            n: Mapped[nosuchtype]  # type: ignore[name-defined]  # noqa: F821

    class Reserved(Base):
        __tablename__ = "cases"
        n: Mapped[int]

    with pytest.raises(InputError, match="one of hpcsweep's own"):
        Store(Calls(), Reserved, "/nowhere", ".x", "sqlite:////nowhere/x")


def test_a_model_may_be_defined_again(make_store: MakeStore) -> None:
    """As a cell of a notebook is run again."""
    for _ in range(2):

        class Again(Base):
            __tablename__ = "again"
            n: Mapped[int]
            weight: Mapped[float] = mapped_column(default=0.5)

        store = make_store(model=Again)
        assert store.run_or_retrieve({"n": 1}).weight == 0.5
        assert retrieved(store, {"n": 1}).weight == 0.5


def test_hits_runs_and_files_are_logged(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Hits, runs, what came from elsewhere, and what became of files."""
    caplog.set_level(logging.INFO, "hpcsweep")
    store = make_store()
    record = store.run_or_retrieve(some())
    store.run_or_retrieve(some())
    DirtyMarks(ResultDirectory(store.results_dir, "")).add(record.id)
    store.list()
    store.register(some(2), record.result_file)
    store.delete(some(), remove_file=True)
    said = [line.getMessage() for line in caplog.records]
    path = record.result_file
    assert re.fullmatch(rf"{record.id}: made in [\d.]+ s, {record.id}.json", said[0])
    assert said[1:3] == [f"{record.id}: found", "took in 1 that were made elsewhere"]
    assert [line.split(": ")[-1].split()[0] for line in said[3:4]] == ["registered"]
    assert said[4:] == [f"removed {path}", f"{record.id}: deleted"]


def test_the_log_is_silent_by_default(tmp_path: Path) -> None:
    code = """if True:
        from pathlib import Path
        from hpcsweep import Base, Mapped, Store
        class Kept(Base):
            __tablename__ = "kept"
            x: Mapped[int]
        def run(params):
            Path(params["result_file"]).write_text("x")
        store = Store(run, Kept, "results", ".txt", "sqlite:///x.sqlite3")
        Path(store.run({"x": 1}).result_file).unlink()
        assert store.retrieve({"x": 1}) is None  # which is a warning
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_database_that_is_away(tmp_path: Path) -> None:
    """The result is there when the database is again."""
    calls, path = Calls(), tmp_path / "x.sqlite3"

    def store() -> Store[SimResult]:
        return Store(calls, SimResult, tmp_path / "results", ".txt", f"sqlite:///{path}")

    made = store()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE results")
    with pytest.raises(StoreError, match=r"rebuild\(\)"):
        made.run(some())
    assert store().run_or_retrieve(some()).n == 1
    path.unlink()
    found = store().retrieve(some())
    assert found is not None
    assert len(store().list()) == 1
    # The first one's connection is to a file that is no more.
    assert made.retrieve(some()) is not None
    assert len(calls) == 1


LOOK = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    "print(*c.execute(sys.argv[2])); c.close()"
)


def test_a_short_lived_process_removes_no_rows(tmp_path: Path) -> None:
    """Another process has made the file, and no table yet, when a Store begins.

    Closing a second descriptor of it would drop the locks of the Store's connection, and who closes
    the database then would delete the WAL that the Store goes on to write.
    """
    path = tmp_path / "db.sqlite3"
    path.touch()

    def looked(query: str) -> str:
        argv = [sys.executable, "-c", LOOK, str(path), query]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    store = Store(simulate, SimResult, tmp_path / "results", ".txt", f"sqlite:///{path}")
    looked("SELECT count(*) FROM sqlite_master")
    store.run(some())
    assert looked("SELECT count(*) FROM results") == "(1,)\n"
