"""Publishing: one attempt at a case has its place, and no attempt loses a file."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import ExperimentReader
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.run_directory import Run
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status
from hpcsweep.sweepdir.plan import attempt_dir
from tests.support.fixtures import Scale

CASE = ParamCase(index=0, params={"x": 1}, case_id="0123456789abcdef")
FAILED = Outcome(status=Status.FAILED, reason=Reason.ERROR, error={"message": "no"})
COMPLETE = Outcome(status=Status.COMPLETE, metrics={"a": 1})

PUBLISHER = """
import sys
from pathlib import Path
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.records import Status
sys.path.insert(0, sys.argv[1])
from tests.unit.test_publish import make_run
sweep, rounds, number = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
sys.stdin.read()
for n in range(rounds):
    run = make_run(restart=number, token=f"{number:016x}")
    home = sweep / str(n)
    source = home / f"runs/.attempts/{run.case.case_id}.{run.attempt.token}"
    rundir.publish(home, source, home / "runs/log_x", run, Status.COMPLETE)
"""


def make_run(*, generation: int = 0, submission: int = 1, restart: int = 0, token: str) -> Run:
    attempt = Attempt(generation=generation, submission=submission, restart=restart, token=token)
    return Run(
        run_id="x", case=CASE, attempt=attempt, chunk=0, manifest="f" * 16, seed=1, host="n1"
    )


def finished(sweep: Path, run: Run, outcome: Outcome) -> Path:
    """An attempt's directory, complete but for its place."""
    path = sweep / attempt_dir(CASE.case_id, run.attempt.token)
    rundir.begin(path, run, "2026-01-01")
    (path / "own.txt").write_text(run.attempt.token)
    rundir.finish(path, run, outcome)
    return path


def tokens(sweep: Path) -> tuple[str, set[str]]:
    """The token of the published attempt, and those of the attempts in their own directories."""
    final = sweep / "runs/log_x"
    published = json.loads((final / "metadata.json").read_bytes())["token"]
    assert (final / "own.txt").read_text() == published
    others = set()
    for path in (sweep / "runs/.attempts").iterdir():
        assert (path / "own.txt").read_text() == path.name.partition(".")[2]
        others.add(path.name.partition(".")[2])
    return published, others


# In ascending order: each takes the place of all before it, and gives way to none of them.
RANKED: list[tuple[dict[str, Any], Outcome]] = [
    ({"token": "a" * 16}, FAILED),
    ({"token": "b" * 16}, FAILED),
    ({"token": "0" * 16, "restart": 1}, FAILED),
    ({"token": "1" * 16, "submission": 2}, FAILED),
    ({"token": "c" * 16}, COMPLETE),
    ({"token": "d" * 16}, COMPLETE),
    ({"token": "2" * 16, "restart": 1}, COMPLETE),
    ({"token": "3" * 16, "submission": 2}, COMPLETE),
    ({"token": "4" * 16, "generation": 1}, FAILED),
    ({"token": "5" * 16, "generation": 1}, COMPLETE),
]


@pytest.mark.parametrize(("low", "high"), [*itertools.combinations(range(len(RANKED)), 2)])
def test_the_higher_attempt_has_the_place(tmp_path: Path, low: int, high: int) -> None:
    for number, order in enumerate(((low, high), (high, low))):
        sweep = tmp_path / str(number)
        for which in order:
            fields, outcome = RANKED[which]
            run = make_run(**fields)
            source = finished(sweep, run, outcome)
            won = rundir.publish(sweep, source, sweep / "runs/log_x", run, outcome.status)
            assert won is (which == high or order[0] == which)
        assert tokens(sweep) == (RANKED[high][0]["token"], {RANKED[low][0]["token"]})


def test_a_kill_between_two_renames_hides_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = f"x=1-{CASE.case_id}"
    final = tmp_path / "runs" / f"log_{run_id}"
    for fields, outcome in (RANKED[0], RANKED[4]):
        run = make_run(**fields)._replace(run_id=run_id)
        source = finished(tmp_path, run, outcome)
        if outcome is FAILED:
            assert rundir.publish(tmp_path, source, final, run, outcome.status)
    begun = attempt_dir(CASE.case_id, "f" * 16)
    rundir.begin(tmp_path / begun, make_run(token="f" * 16)._replace(run_id=run_id), "2026-01-01")
    real = Path.rename
    renamed: list[Path] = []

    def killed_after_the_first(self: Path, target: Path) -> Path:
        if renamed:
            raise KeyboardInterrupt
        moved = real(self, target)
        renamed.append(target)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            rundir.publish(tmp_path, source, final, run, Status.COMPLETE)
    assert renamed
    assert not final.exists()
    reader = ExperimentReader(tmp_path)
    assert reader.ids == [run_id]
    assert reader[run_id].meta["token"] == "c" * 16
    assert reader.params == {run_id: {"x": 1}}
    assert [row["status"] for row in reader.index()] == ["complete"]
    # Its place is what counts once it has one again.
    rundir.publish(tmp_path, source, final, run, Status.COMPLETE)
    assert [one.files.home for one in ExperimentReader(tmp_path)] == [final]


def test_an_attempt_that_another_process_published(tmp_path: Path) -> None:
    """Another start found it complete and gave it its place a moment earlier."""
    run = make_run(token="a" * 16)
    source = finished(tmp_path, run, COMPLETE)
    final = tmp_path / "runs/log_x"
    assert rundir.publish(tmp_path, source, final, run, Status.COMPLETE)
    assert rundir.publish(tmp_path, source, final, run, Status.COMPLETE)
    assert tokens(tmp_path) == ("a" * 16, set())


def test_a_place_that_is_left_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third attempt moves the one that has the place back, and is not quick enough itself."""
    final = tmp_path / "runs/log_x"
    lower = make_run(token="a" * 16)
    rundir.publish(tmp_path, finished(tmp_path, lower, COMPLETE), final, lower, Status.COMPLETE)
    real = rundir.read_metadata

    def late(path: Path) -> dict[str, Any] | None:
        monkeypatch.setattr(rundir, "read_metadata", real)
        path.rename(tmp_path / attempt_dir(CASE.case_id, "a" * 16))
        return real(path)

    higher = make_run(token="b" * 16)
    source = finished(tmp_path, higher, COMPLETE)
    monkeypatch.setattr(rundir, "read_metadata", late)
    assert rundir.publish(tmp_path, source, final, higher, Status.COMPLETE)
    assert tokens(tmp_path) == ("b" * 16, {"a" * 16})


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{", "{}", '{"generation": 0, "status": "complete"}']
)
def test_a_directory_without_metadata_keeps_its_place(tmp_path: Path, content: str | None) -> None:
    final = tmp_path / "runs/log_x"
    final.mkdir(parents=True)
    (final / "own.txt").write_text("somebody's")
    if content is not None:
        (final / "metadata.json").write_text(content)
    run = make_run(token="a" * 16, generation=9)
    source = finished(tmp_path, run, COMPLETE)
    assert not rundir.publish(tmp_path, source, final, run, Status.COMPLETE)
    assert (final / "own.txt").read_text() == "somebody's"
    assert (source / "own.txt").exists()


def test_an_empty_directory_is_no_attempt(tmp_path: Path) -> None:
    final = tmp_path / "runs/log_x"
    final.mkdir(parents=True)
    run = make_run(token="a" * 16)
    source = finished(tmp_path, run, COMPLETE)
    assert rundir.publish(tmp_path, source, final, run, Status.COMPLETE)


def test_eight_at_once(tmp_path: Path) -> None:
    """The highest ends up in the place; each of the others with all of its files in its own."""
    rounds, processes = 15, 8
    for n in range(rounds):
        for number in range(processes):
            finished(tmp_path / str(n), make_run(restart=number, token=f"{number:016x}"), COMPLETE)
    root = str(Path(__file__).parents[2])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, root, str(tmp_path), str(rounds), str(number)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in started:  # all of them wait for the end of their input
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    for n in range(rounds):
        highest, *others = (f"{number:016x}" for number in reversed(range(processes)))
        assert tokens(tmp_path / str(n)) == (highest, set(others)), n


class Turns:
    """Threads that do their steps one at a time, in an order that a seed decides."""

    def __init__(self, seed: int, works: list[Callable[[], object]]) -> None:
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._ready: set[int] = set()
        self._running = len(works)
        self._threads = [threading.Thread(target=self._do, args=(work,)) for work in works]
        self.errors: list[Exception] = []

    def _do(self, work: Callable[[], object]) -> None:
        try:
            self.step()
            work()
        except Exception as error:  # noqa: BLE001  # the test tells it
            self.errors.append(error)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def step(self) -> None:
        """Wait for this thread's next turn."""
        me = threading.get_ident()
        with self._changed:
            self._running -= 1
            self._ready.add(me)
            self._changed.notify_all()
            self._changed.wait_for(lambda: me not in self._ready)

    def run(self) -> None:
        """Give turns until all is done."""
        for thread in self._threads:
            thread.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._running)
                if not self._ready:
                    break
                self._ready.remove(self._random.choice(sorted(self._ready)))
                self._running += 1
                self._changed.notify_all()
        for thread in self._threads:
            thread.join()


# Two attempts of one generation, one of a newer one; who publishes them, the worker of each, and
# the next start of the first one's chunk, which found it complete.
RACES = [
    ((RANKED[4], RANKED[6], RANKED[8]), 2),
    ((RANKED[4], RANKED[6], RANKED[9]), 2),
    ((RANKED[0], RANKED[4], RANKED[9]), 2),
    ((RANKED[6], RANKED[0], RANKED[4]), 0),
]


@pytest.mark.parametrize(("attempts", "highest"), RACES)
def test_three_attempts_in_any_order_of_steps(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: Scale,
    attempts: tuple[tuple[dict[str, Any], Outcome], ...],
    highest: int,
) -> None:
    """Each rename and each read is a step; steps of other threads come between any two."""
    rename, look = Path.rename, rundir.read_metadata
    for seed in range(scale(50, 5000)):
        sweep = tmp_path / str(seed)
        works: list[Callable[[], object]] = []
        for fields, outcome in (*attempts, attempts[0]):
            run = make_run(**fields)
            source = sweep / attempt_dir(CASE.case_id, run.attempt.token)
            if not source.exists():
                finished(sweep, run, outcome)
            publish = (sweep, source, sweep / "runs/log_x", run, outcome.status)
            works.append(partial(rundir.publish, *publish))
        turns = Turns(seed, works)

        def renamed(path: Path, target: Path, turns: Turns = turns) -> Path:
            turns.step()
            return rename(path, target)

        def looked(path: Path, turns: Turns = turns) -> dict[str, Any] | None:
            turns.step()
            return look(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", renamed)
            patch.setattr(rundir, "read_metadata", looked)
            turns.run()
        assert turns.errors == []
        every = {fields["token"] for fields, _ in attempts}
        first = attempts[highest][0]["token"]
        assert tokens(sweep) == (first, every - {first}), seed


def test_metadata_and_metrics_are_of_one_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt takes the place between the looks at the two files."""
    final = tmp_path / "runs/log_x"
    lower, higher = make_run(token="a" * 16), make_run(token="b" * 16, generation=1)
    rundir.publish(tmp_path, finished(tmp_path, lower, COMPLETE), final, lower, Status.COMPLETE)
    source = finished(tmp_path, higher, Outcome(status=Status.COMPLETE, metrics={"a": 2}))
    real = rundir.read_metrics

    def late(path: Path) -> dict[str, Any] | None:
        monkeypatch.setattr(rundir, "read_metrics", real)
        rundir.publish(tmp_path, source, final, higher, Status.COMPLETE)
        return real(path)

    monkeypatch.setattr(rundir, "read_metrics", late)
    metadata, metrics = rundir.read_metadata_and_metrics(final)
    assert metadata is not None
    assert (metadata["token"], metrics) == ("b" * 16, {"a": 2})
    assert rundir.read_metadata_and_metrics(tmp_path / "none") == (None, None)


def test_a_run_directory_describes_itself(tmp_path: Path) -> None:
    run = make_run(token="a" * 16, generation=2)
    path = finished(tmp_path, run, COMPLETE)
    found = rundir.read_metadata(path)
    assert found is not None
    said = {
        "run_id": "x",
        "case_id": CASE.case_id,
        "index": 0,
        "generation": 2,
        "status": "complete",
        "token": "a" * 16,
        "seed": f"{1:032x}",
        "start_time": None,
    }
    assert {name: found.get(name) for name in said} == said
    assert rundir.read_metrics(path) == {"a": 1}
    failed = finished(tmp_path, make_run(token="b" * 16), FAILED)
    assert (rundir.read_metadata(failed) or {})["failure_reason"] == "no"
    assert rundir.read_metrics(failed) == {}


def test_a_begun_run_is_not_complete(tmp_path: Path) -> None:
    run = make_run(token="a" * 16)
    rundir.begin(tmp_path / "a", run, "2026-01-01")
    assert (rundir.read_metadata(tmp_path / "a") or {})["status"] == "initialized"
    assert rundir.read_metadata(tmp_path / "none") is None
