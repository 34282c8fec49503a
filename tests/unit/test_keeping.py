"""Array tasks whose results a cache keeps: each is made once, and a Store finds it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.cache.files.dirty_marks import DirtyMarks
from hpcsweep.cache.files.producer import ResultProducer
from hpcsweep.cache.files.result_directory import ResultDirectory, ResultKey
from hpcsweep.claims import try_acquire
from hpcsweep.errors import StoreError
from hpcsweep.manifest.frozen import Cache
from hpcsweep.records import IN_TASK
from hpcsweep.sources import grid, manual
from tests.support.keeping import calls, kept, store
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

WAIT_S = 60


def test_a_store_finds_what_a_task_made(tmp_path: Path) -> None:
    made = kept(tmp_path, grid(x=[1, 2]), custom_data={"note": "n"})
    early = store(tmp_path)
    made.run()
    found = early.list()
    assert {(one.x, one.id) for one in found} == {(c.params["x"], c.case_id) for c in made.source}
    assert [Path(one.result_file).read_text() for one in found] == [
        f"result of {one.x}" for one in found
    ]
    assert {one.custom_data["note"] for one in found} == {"n"}
    assert early.run_or_retrieve({"x": 2}).id == made.source[1].case_id
    # One that was made first has it when it is constructed, and nothing is left to be done.
    assert store(tmp_path).retrieve({"x": 1}) is not None
    assert list((tmp_path / "results" / ".new").iterdir()) == []
    assert list((tmp_path / "results" / ".claims").iterdir()) == []
    assert calls(tmp_path) == [1, 2]


def test_a_task_skips_what_a_store_made(tmp_path: Path) -> None:
    """The case is complete from the cache, with the recorded metrics, and is not run."""
    store(tmp_path).run({"x": 1})
    first = kept(tmp_path, grid(x=[1, 2]))
    done = first.run()
    ends = first.ends()
    assert [ends[index]["status"] for index in (0, 1)] == ["complete", "complete"]
    assert ends[0].get("from_cache") is True
    assert "from_cache" not in ends[1]
    assert "index 0 is in the cache" in done.stderr
    assert calls(tmp_path) == [1, 2]
    first.freeze(grid(x=[2, 3]), cache=first.manifest.cache)
    first.plan(generation=1)
    first.run(submission=2)
    assert calls(tmp_path) == [1, 2, 3]
    later = [r for r in first.records("end") if r["attempt"][0] == 1 and "index" in r]
    assert [(r["index"], r["metrics"], "from_cache" in r) for r in later] == [
        (0, {"twice": 4}, True),
        (1, {"twice": 6}, False),
    ]


def test_without_use_cache_a_result_is_made_anew(tmp_path: Path) -> None:
    before = store(tmp_path).run({"x": 1})
    kept(tmp_path, grid(x=[1]), use_cache=False).run()
    after = store(tmp_path).retrieve({"x": 1})
    assert after is not None
    assert (after.id, after.created_at > before.created_at) == (before.id, True)
    assert calls(tmp_path) == [1, 1]


def test_the_runner_of_a_store_is_a_target(tmp_path: Path) -> None:
    made = kept(tmp_path, manual([{"x": 1}, {"x": 2, "label": None}]), "runner")
    made.run()
    found = [store(tmp_path).retrieve({"x": x}) for x in (1, 2)]
    # A parameter that is None is the same as one left out, for the cache.
    assert [Path(one.result_file).read_text() for one in found if one] == [
        f"{x} {ResultKey.of({'x': x}).id}" for x in (1, 2)
    ]


def test_a_command_writes_the_result(tmp_path: Path) -> None:
    cache = Cache(results_dir="results", file_suffix=".txt")
    argv = ["/bin/sh", "-c", 'printf "x=%s" "$1" > "$2"', "sh", "{x}", "{result_file}"]
    made = MadeSweep(tmp_path, grid(x=[5]), argv=argv, cache=cache)
    made.plan()
    made.run()
    found = store(tmp_path).retrieve({"x": 5})
    assert found is not None
    assert Path(found.result_file).read_text() == "x=5"


@pytest.mark.parametrize(
    ("function", "kind", "says"),
    [("run", "ValueError", "bad luck"), ("nothing", "ResultMissing", "the runner wrote no file")],
)
def test_a_failed_case_leaves_no_result(
    tmp_path: Path, function: str, kind: str, says: str
) -> None:
    made = kept(tmp_path, grid(x=[13]), function)
    made.run()
    end = made.ends()[0]
    assert (end["status"], end["error"]["type"]) == ("failed", kind)
    assert says in end["error"]["message"]
    assert store(tmp_path).list() == []
    assert list((tmp_path / "results" / ".claims").iterdir()) == []
    # Another run of it is no hit.
    made.plan(generation=1)
    made.run(submission=2)
    assert calls(tmp_path) == [13, 13]


def test_a_worker_killed_while_it_makes_a_result(tmp_path: Path) -> None:
    """It leaves no result; the next start takes over its claim."""
    made = kept(tmp_path, grid(x=[1, 7, 8]))
    with made.start() as process:
        wait_until(lambda: calls(tmp_path) == [1, 7], WAIT_S, "the second case")
        process.kill()
    assert [one.x for one in store(tmp_path).list()] == [1]
    (tmp_path / "free").touch()
    made.run(restart=1)
    assert [one.x for one in store(tmp_path).list()] == [1, 7, 8]
    assert calls(tmp_path) == [1, 7, 7, 8]
    assert list((tmp_path / "results" / ".claims").iterdir()) == []


def test_a_store_and_a_task_at_once_make_a_result_once(tmp_path: Path) -> None:
    made = kept(tmp_path, grid(x=[7, 8]))
    with made.start() as process:
        wait_until(lambda: calls(tmp_path) == [7], WAIT_S, "the first case")
        mine = store(tmp_path)
        code = "import sys; from tests.support.keeping import *; "
        code += "store(Path(sys.argv[1])).sweep({'x': [8, 7]})"
        argv = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as other:
            wait_until(lambda: calls(tmp_path) == [7, 8], WAIT_S, "the Store, at the other case")
            (tmp_path / "free").touch()
            assert other.wait(WAIT_S) == 0
        assert process.wait(WAIT_S) == 0
    assert calls(tmp_path) == [7, 8]
    assert [one.x for one in mine.list()] in ([7, 8], [8, 7])
    assert [made.ends()[index]["status"] for index in (0, 1)] == ["complete", "complete"]


def test_a_task_that_waits_for_a_claim_can_be_ended(tmp_path: Path) -> None:
    results = ResultDirectory(tmp_path / "results", ".txt")
    results.make()
    made = kept(tmp_path, grid(x=[1]))
    claim = try_acquire(results.claims, made.source[0].case_id)
    assert claim is not None
    with made.start() as process:
        wait_until(lambda: bool(made.records("begin")), WAIT_S, "the case")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 75
    assert made.ends()[0]["reason"] == "terminated"
    assert claim.path.exists()
    claim.release()
    made.run(restart=1)
    assert calls(tmp_path) == [1]


def test_a_waiting_or_running_task_writes_heartbeats(tmp_path: Path) -> None:
    made = kept(tmp_path, grid(x=[7]))
    made.plan(generation=1, beat_s=0.05)
    claims = tmp_path / "results" / ".claims"

    def beating() -> set[str]:
        return {record["attempt"][3] for record in made.records("beat")}

    with made.start(submission=2) as process:
        wait_until(lambda: calls(tmp_path) == [7], WAIT_S, "the case")
        (owner,) = claims.glob("*/*/metadata.json")
        os.utime(owner, (0, 0))
        wait_until(lambda: owner.stat().st_mtime > 0, WAIT_S, "a sign of life")
        with made.start(submission=2, restart=1) as second:
            wait_until(lambda: len(beating()) == 2, WAIT_S, "beats of both")
            (tmp_path / "free").touch()
            assert second.wait(WAIT_S) == 0
        assert process.wait(WAIT_S) == 0
    assert calls(tmp_path) == [7]


def test_a_mark_stays_until_its_entry_is_written(tmp_path: Path) -> None:
    """A table that is brought up to date in between takes in the old entry, and later the new."""
    results = ResultDirectory(tmp_path / "results", ".txt")
    before = store(tmp_path).run({"x": 1})
    wanted = ResultKey.of({"x": 1})

    def run(params: dict[str, Any]) -> None:
        DirtyMarks(results).add(wanted.id)
        assert store(tmp_path).list()[0].created_at == before.created_at
        Path(params["result_file"]).write_text("new")

    ResultProducer(run, results, skips_table=True)(wanted, {}, anew=True)
    assert store(tmp_path).list()[0].created_at > before.created_at
    assert list((tmp_path / "results" / ".new").iterdir()) == []


def test_an_unreachable_table_gets_the_result_later(tmp_path: Path) -> None:
    mine = store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "kept.sqlite3")) as connection:
        connection.execute("DROP TABLE kept")
    with pytest.raises(StoreError):
        mine.run({"x": 1})
    assert [one.x for one in store(tmp_path).list()] == [1]


def test_a_store_in_a_task_makes_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads one that is there; what it makes others put into it (invariant 25)."""
    monkeypatch.setenv(IN_TASK, "1")
    with pytest.raises(StoreError, match="a task makes no table") as told:
        store(tmp_path)
    assert "where you submit" in told.value.next_step
    assert not (tmp_path / "kept.sqlite3").exists()
    monkeypatch.delenv(IN_TASK)
    outside = store(tmp_path)
    outside.run({"x": 1})
    monkeypatch.setenv(IN_TASK, "1")
    before = (tmp_path / "kept.sqlite3").read_bytes()
    inside = store(tmp_path)
    assert [inside.run_or_retrieve({"x": x}).x for x in (1, 2, 2)] == [1, 2, 2]
    assert (tmp_path / "kept.sqlite3").read_bytes() == before
    assert calls(tmp_path) == [1, 2]
    monkeypatch.delenv(IN_TASK)
    assert [one.x for one in outside.list()] == [1, 2]


def test_every_task_sets_the_variable_of_a_task(tmp_path: Path) -> None:
    python = f"import os\ndef run(x): return {{'told': os.environ['{IN_TASK}']}}\n"
    made = MadeSweep(tmp_path, grid(x=[1]), python=python)
    made.plan()
    made.run()
    assert made.ends()[0]["metrics"] == {"told": str(made.path)}
