"""Sweeps on a real OpenPBS, from the command line of an ordinary user.

Skipped where there is no OpenPBS: no package of Debian has it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.clusters import QUICK
from tests.support.ordinary_user import OrdinaryUser, ordinary_user
from tests.support.private_pbs import PrivatePbs, started, why_not
from tests.support.processes import kill, owned_by
from tests.support.wait import wait_until

__all__ = ["ordinary_user"]

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

WAIT_S = 120.0
TARGET = """
import time
from pathlib import Path

def square(x):
    if x == 3:
        raise ValueError("three")
    return {"square": x * x}

def wait_for(x):
    Path(f"begun.{x}").touch()
    while not Path("go").exists():
        time.sleep(0.05)
    return {"square": x * x}
"""


@pytest.fixture(scope="module")
def pbs() -> Iterator[PrivatePbs]:
    """A private OpenPBS."""
    yield from started()


@pytest.fixture
def user(pbs: PrivatePbs, ordinary_user: OrdinaryUser) -> Iterator[OrdinaryUser]:
    """A user of that OpenPBS with a target, and an empty queue."""
    ordinary_user.set(**QUICK, **pbs.variables, HPCSWEEP_CLUSTER="pbs")
    ordinary_user.write("target.py", TARGET)
    yield ordinary_user
    pbs.clear()


def submit(user: OrdinaryUser, name: str, xs: list[int], *options: str, **keys: Any) -> None:
    """Submit a sweep of these cases, each in an array task of its own."""
    values = {"name": name, "target": "target.py:square", "chunk": 1} | keys
    values |= {"source": {"grid": {"x": xs}}, "slurm": {"time": "00:05:00"} | keys.get("slurm", {})}
    user.does("submit", user.write(f"{name}.json", json.dumps(values)).name, *options)


def status(user: OrdinaryUser, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(user.does("status", name, "--json"))
    return answer


def until(user: OrdinaryUser, name: str, **expected: int) -> None:
    """Wait until the status counts so many cases."""

    def reached() -> bool | str:
        counts = status(user, name)["counts"]
        return {key: counts[key] for key in expected} == expected or str(counts)

    wait_until(reached, WAIT_S, f"{name}: {expected}")


def begun(user: OrdinaryUser, *xs: int) -> None:
    """Wait until these cases run."""
    wait_until(
        lambda: all((user.home / f"begun.{x}").exists() for x in xs), WAIT_S, f"{xs} to begin"
    )


def only_job(pbs: PrivatePbs, user: OrdinaryUser, name: str) -> str:
    """The job id of a sweep's array."""
    facts = (user.home / f"outputs/{name}/submissions/0001").glob("*job*")
    (fact,) = [json.loads(path.read_bytes()) for path in facts]
    assert fact["job_id"] in pbs.jobs()
    job_id: str = fact["job_id"]
    return job_id


def test_a_sweep_with_retries_goes_to_its_end_by_closing_jobs(
    pbs: PrivatePbs, user: OrdinaryUser
) -> None:
    submit(
        user,
        "whole",
        [1, 2, 3, 4, 5],
        "--throttle",
        "2",
        retry={"max_attempts": 2, "on": ["error"]},
    )
    wait_until(lambda: not (left := pbs.jobs()) or str(left), WAIT_S, "the last closing job to end")
    until(user, "whole", complete=4, failed=1)
    assert len(list((user.home / "outputs/whole/submissions").iterdir())) == 2
    rows = user.does("collect", "whole", "--columns", "x,square,status").splitlines()
    assert [row.split() for row in rows[1:4]] == [
        ["1", "1", "complete"],
        ["2", "4", "complete"],
        ["3", "failed"],
    ]
    assert "ValueError: three" in user.does("logs", "whole", "2")


def test_one_case_is_one_array_task(user: OrdinaryUser) -> None:
    submit(user, "single", [7], "--wait")
    assert status(user, "single")["counts"]["complete"] == 1


def test_some_tasks_and_then_all_are_cancelled(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    submit(user, "cut", list(range(6)), target="target.py:wait_for", slurm={"cpus-per-task": 2})
    begun(user, 0, 1)
    user.does("cancel", "cut", "--cases", "1,4-5")
    until(user, "cut", interrupted=3)
    assert status(user, "cut")["counts"]["running"]
    user.does("cancel", "cut")
    until(user, "cut", interrupted=6)
    wait_until(lambda: not (left := pbs.jobs()) or str(left), WAIT_S, "an empty queue")


def test_the_queue_says_why_tasks_do_not_start(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    submit(user, "big", [1, 2], slurm={"mem": "900G"})

    def says(words: str) -> Callable[[], bool | str]:
        def said() -> bool | str:
            text = user.does("status", "big")
            return words in text or text

        return said

    wait_until(says("2 waiting (CanNeverRun: Insufficient amount of resource: mem"), WAIT_S, "why")
    user.run("qhold", only_job(pbs, user, "big"))
    wait_until(says("2 waiting (UserHold): held by you"), WAIT_S, "the hold")


def test_a_task_ends_before_its_time_limit(user: OrdinaryUser) -> None:
    submit(user, "late", [1], target="target.py:wait_for", slurm={"time": "00:00:20"})
    until(user, "late", interrupted=1)
    assert status(user, "late")["reasons"] == {"timeout": 1}


def test_a_rerun_task_computes_what_is_left(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    submit(user, "again", [1, 2], target="target.py:wait_for", chunk=2)
    begun(user, 1)
    (user.home / "begun.1").unlink()
    pbs.run("qrerun", only_job(pbs, user, "again").replace("[]", "[0]"))
    begun(user, 1)
    user.write("go", "")
    until(user, "again", complete=2)
    journals = (user.home / "outputs/again/journal/0001/0").iterdir()
    starts = sorted(path.name[:3] for path in journals)
    assert starts == ["0.0", "0.1"]


def test_an_unanswered_qsub_is_found_out(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    """The server took the array, and qsub was killed before it printed the job id."""
    wrapper = user.write("bin/qsub", '#!/bin/sh\n"$REAL_QSUB" "$@" >/dev/null && kill -9 $$\n')
    wrapper.chmod(0o755)
    path = user.env()["PATH"]
    real = user.run("sh", "-c", "command -v qsub").stdout.strip()
    user.set(PATH=f"{wrapper.parent}:{path}", REAL_QSUB=real)
    values = {"name": "lost", "target": "target.py:wait_for", "chunk": 1}
    values |= {"source": {"grid": {"x": [1, 2]}}, "slurm": {"time": "00:05:00"}}
    manifest = user.write("lost.json", json.dumps(values)).name
    user.run(*user.hpcsweep("submit", manifest), code=None)
    user.set(PATH=path)
    user.does("submit", manifest)
    assert len(pbs.jobs()) == 1
    user.write("go", "")
    until(user, "lost", complete=2)


def test_what_pbs_does_not_have_is_refused_by_name(user: OrdinaryUser) -> None:
    values = {"name": "no", "target": "target.py:square", "source": {"grid": {"x": [1]}}}
    for option, value in (("qos", "high"), ("constraint", "a100"), ("nodes", 2)):
        manifest = user.write("no.json", json.dumps(values | {"slurm": {option: value}}))
        assert f"slurm.{option}" in user.refused(3, "submit", manifest.name)
    manifest = user.write("no.json", json.dumps(values | {"slurm": {"partition": "nosuch"}}))
    assert "Unknown queue" in user.refused(6, "submit", manifest.name)


def test_a_task_of_a_killed_node_runs_again(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    submit(user, "down", [1], target="target.py:wait_for")
    begun(user, 1)
    (user.home / "begun.1").unlink()
    for pid, command in owned_by(pbs.directory).items():
        if "pbs_mom" in command or str(user.home) in command:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
    pbs.start_node()
    begun(user, 1)
    user.write("go", "")
    until(user, "down", complete=1)


def test_a_submission_sends_what_the_queue_takes(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    """Elements count, also running ones; closing jobs send the rest."""
    pbs.run("qmgr", "-c", 'set queue workq max_queued = "[u:PBS_GENERIC=4]"')
    try:
        submit(user, "full", [1, 2, 4, 5, 6, 7, 8])
        until(user, "full", complete=7)
        numbers = [path.name for path in (user.home / "outputs/full/submissions").iterdir()]
        assert len(numbers) > 1
    finally:
        pbs.run("qmgr", "-c", "unset queue workq max_queued")


def test_a_task_without_a_time_limit_has_that_of_the_queue(
    pbs: PrivatePbs, user: OrdinaryUser
) -> None:
    pbs.run("qmgr", "-c", "set queue workq resources_default.walltime = 20")
    pbs.run("qmgr", "-c", "set queue workq resources_min.walltime = 5")
    try:
        values = {"name": "late", "target": "target.py:wait_for", "source": {"grid": {"x": [1]}}}
        manifest = user.write("late.json", json.dumps(values)).name
        user.does("submit", manifest)
        until(user, "late", interrupted=1)
        assert status(user, "late")["reasons"] == {"timeout": 1}
        short = values | {"name": "short", "slurm": {"time": "00:00:03"}}
        said = user.refused(6, "submit", user.write("short.json", json.dumps(short)).name)
        assert "resources_min.walltime" in said
    finally:
        pbs.run("qmgr", "-c", "unset queue workq resources_default.walltime")
        pbs.run("qmgr", "-c", "unset queue workq resources_min.walltime")


def test_a_server_without_history_runs_closing_jobs(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    pbs.run("qmgr", "-c", "set server job_history_enable = False")
    try:
        submit(user, "brief", [1, 2, 3], retry={"max_attempts": 2, "on": ["error"]})
        until(user, "brief", complete=2, failed=1)
        wait_until(lambda: not (left := pbs.jobs()) or str(left), WAIT_S, "the last closing job")
        assert len(list((user.home / "outputs/brief/submissions").iterdir())) == 2
    finally:
        pbs.run("qmgr", "-c", "set server job_history_enable = True")


def test_a_closing_job_without_room_runs_again(pbs: PrivatePbs, user: OrdinaryUser) -> None:
    def queue_takes(most: int) -> None:
        pbs.run("qmgr", "-c", f'set server max_queued = "[u:PBS_GENERIC={most}]"')

    facts = user.home / "outputs/rest/submissions/0001"
    try:
        queue_takes(4)
        submit(user, "rest", [1, 2, 3, 4, 5], target="target.py:wait_for")
        begun(user, 1, 2, 3)
        queue_takes(10)
        others = [user.run("qsub", "-h", "--", "/bin/true").stdout.strip() for _ in range(3)]
        queue_takes(4)
        user.write("go", "")
        until(user, "rest", complete=3)
        log = user.home / "outputs/rest/logs/0001/closing-0.log"
        wait_until(lambda: "run again" in log.read_text(), WAIT_S, "a closing job without room")
        assert not list(facts.glob("*closing-*"))
        user.run("qdel", others.pop())
        wait_until(lambda: bool(list(facts.glob("*closing-1.json"))), WAIT_S, "its next start")
        user.run("qdel", *others)
        again = json.loads((facts / "part-0000.closing-1.json").read_bytes())["job_id"]
        user.run("qalter", "-a", time.strftime("%Y%m%d%H%M.%S"), again)
        until(user, "rest", complete=5)
    finally:
        pbs.run("qmgr", "-c", "unset server max_queued")
