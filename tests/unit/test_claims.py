"""Claims on a result: one owner at a time; who is gone is replaced, and can publish nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import claims, liveness
from hpcsweep.cache.files import producer
from hpcsweep.cache.files.producer import ResultProducer
from hpcsweep.cache.files.result_directory import ResultDirectory, ResultKey
from hpcsweep.claims import OWNER, Claim, ClaimLost, try_acquire
from hpcsweep.liveness import SILENT_S, this_process
from tests.support.fixtures import Scale
from tests.support.wait import wait_until

ID = "0123456789abcdef"
WAIT_S = 60
Change = Callable[[Path], None]


def owner(**changes: Any) -> Change:
    """Make the owner of a claim another process."""

    def change(path: Path) -> None:
        (path / OWNER).write_text(json.dumps(this_process() | changes))

    return change


def silent(path: Path) -> None:
    """An owner on another host that gives no sign of life any more."""
    owner(host="elsewhere")(path)
    os.utime(path / OWNER, (time.time() - SILENT_S - 1,) * 2)


def cut(path: Path) -> None:
    """What may be left of an owner's file."""
    (path / OWNER).write_text("")
    os.utime(path / OWNER, (time.time() - SILENT_S - 1,) * 2)


def dead(path: Path) -> None:
    """A process that is no more."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    owner(pid=int(done.stdout))(path)


GONE: dict[str, Change] = {
    "dead": dead,
    "its number is another process's": owner(pid_started="1"),
    "before a boot": owner(boot_id="another"),
    "on another host, silent": silent,
    "a power cut, silent": cut,
}


def taken(root: Path, change: Change | None = None) -> Claim:
    """A claim, whose owner is as `change` says."""
    root.mkdir(exist_ok=True)
    claim = try_acquire(root, ID)
    assert claim is not None
    if change is not None:
        change(claim.path)
    return claim


def test_a_living_owner_keeps_its_claim(tmp_path: Path) -> None:
    for change in (None, owner(host="elsewhere")):
        claim = taken(tmp_path / "c", change)
        assert try_acquire(tmp_path / "c", ID) is None
        other = try_acquire(tmp_path / "c", ID[::-1])
        assert other is not None
        other.release()
        claim.release()
        claim.release()
        again = try_acquire(tmp_path / "c", ID)
        assert again is not None
        again.release()


@pytest.mark.parametrize("change", GONE.values(), ids=GONE)
def test_an_owner_that_is_gone_is_replaced_and_can_publish_nothing(
    tmp_path: Path, change: Change
) -> None:
    old = taken(tmp_path / "c", change)
    (old.path / "result").write_text("old")
    (old.path / "folder").mkdir()
    new = try_acquire(tmp_path / "c", ID)
    assert new is not None
    assert [path.name for path in new.path.iterdir()] == [OWNER]
    with pytest.raises(ClaimLost):
        old.publish(old.path / "result", tmp_path / "final")
    with pytest.raises(ClaimLost):
        old.publish(old.path / "result", tmp_path / "final", sync=True)
    old.release()
    assert try_acquire(tmp_path / "c", ID) is None
    (new.path / "result").write_text("new")
    new.publish(new.path / "result", tmp_path / "final", sync=True)
    assert (tmp_path / "final").read_text() == "new"
    new.release()
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.parametrize("change", [None, GONE["before a boot"]])
def test_one_of_many_processes_gets_the_claim(
    tmp_path: Path, scale: Scale, change: Change | None
) -> None:
    """Of a claim that nobody has, and of one whose owner is gone."""
    for number in range(scale(10, 500)):
        root = tmp_path / str(number)
        root.mkdir()
        if change is not None:
            taken(root, change)
        together = threading.Barrier(8)

        def one(_: int, root: Path = root, together: threading.Barrier = together) -> Any:
            together.wait(WAIT_S)
            return try_acquire(root, ID)

        with ThreadPoolExecutor(8) as pool:
            found = [claim for claim in pool.map(one, range(8)) if claim is not None]
        assert len(found) == 1
        assert list(root.glob("[0-9a-f]*/*")) == [found[0].path]


def test_a_rename_whose_answer_was_lost_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NFS client that hears nothing asks again, and is told that there is no such name."""
    rename = os.rename

    def twice(source: Path, target: Path) -> None:
        rename(source, target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", twice)
        claim = try_acquire(tmp_path, ID)
    assert claim is not None
    assert try_acquire(tmp_path, ID) is None
    claim.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writes_on", [False, True])
def test_a_suspended_owner_takes_the_result_of_the_other(
    tmp_path: Path, *, writes_on: bool
) -> None:
    """Its own is thrown away, though it was finished; what it still writes goes nowhere."""
    results, case = ResultDirectory(tmp_path, ".txt"), ResultKey.of({"x": 1})
    results.make()

    def second(params: dict[str, Any]) -> None:
        Path(params["result_file"]).write_text("second")

    def first(params: dict[str, Any]) -> None:
        path = Path(params["result_file"])
        path.write_text("first")
        owner(boot_id="another")(path.parent)
        ResultProducer(second, results)(case, {})
        if writes_on:
            path.write_text("first, still")

    entry = ResultProducer(first, results)(case, {})
    assert Path(results.resolve(entry.result_file)).read_text() == "second"
    assert list(results.claims.iterdir()) == []


def test_a_store_writes_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_S", 0.02)
    # The thread of an earlier test may sleep for its 30 s.
    heartbeat = liveness.Heartbeat()
    monkeypatch.setattr(producer, "HEARTBEAT", heartbeat)
    monkeypatch.setattr(claims, "HEARTBEAT", heartbeat)
    results = ResultDirectory(tmp_path, ".txt")
    results.make()

    def run(params: dict[str, Any]) -> None:
        path = Path(params["result_file"])
        os.utime(path.with_name(OWNER), (0, 0))
        wait_until(lambda: path.with_name(OWNER).stat().st_mtime > 0, WAIT_S, "a sign of life")
        path.write_text("x")

    ResultProducer(run, results)(ResultKey.of({"x": 1}), {})


def test_threads_make_a_result_once(tmp_path: Path) -> None:
    results, calls = ResultDirectory(tmp_path, ".txt"), []
    results.make()

    def run(params: dict[str, Any]) -> None:
        calls.append(params)
        threading.Event().wait(0.05)
        Path(params["result_file"]).write_text("x")

    make = ResultProducer(run, results)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: make(ResultKey.of({"x": 1}), {}), range(8)))
    assert len(calls) == 1
    assert found == [found[0]] * 8


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = [pause for _, pause in zip(range(30), claims.backoff_pauses(), strict=False)]
    assert 0 < pauses[0] <= claims.FIRST_POLL_S
    assert max(pauses) <= claims.LONGEST_POLL_S
    assert min(pauses[10:]) >= claims.LONGEST_POLL_S / 2
