"""`advance` continues a sweep: in closing jobs, by hand, and not after a cancel."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.support.small_site import GRACES, Site, site
from tests.support.wait import wait_until

__all__ = ["site"]  # fixtures are found by their names

ROLLING = """\
command: [echo, '{x}']
source: {grid: {x: {range: [0, 18]}}}
chunk: 2
canary: 0
"""


def test_more_tasks_than_fit_follow_by_closing_jobs(site: Site) -> None:
    said = site.hpcsweep("submit", site.manifest(ROLLING.replace("18", "26")))
    assert "submission 1, 12 cases in 6 array tasks" in said
    assert "14 more cases are sent when the queue has room" in said
    site.wait_for(complete=26)
    assert set(site.completions().values()) == {1}
    assert len(site.completions()) == 26
    assert len(site.plans()) >= 3
    assert all(sum(part["chunks"] for part in plan["parts"]) <= 6 for plan in site.plans())  # type: ignore[attr-defined]


def test_where_nodes_may_not_submit_many_advances_at_once_send_the_rest_once(site: Site) -> None:
    """The partition for closing jobs is not there, so sbatch refuses them."""
    text = f"{ROLLING}closing: {{partition: nonesuch}}\n"
    said = site.hpcsweep("submit", site.manifest(text))
    assert "The closing job of part 0 of submission 1 was not submitted" in said
    assert "hpcsweep advance" in said
    site.wait_for(complete=12, pending=6)
    said = site.hpcsweep("status", "s")
    assert "s stands still: 6 cases wait to be sent, and no closing job does it: none was" in said
    assert f"*/10 * * * * hpcsweep advance {site.root}/outputs/s" in said
    argv = [sys.executable, "-m", "hpcsweep", "advance", "s"]
    env = site.cluster.env(**GRACES)
    started = [subprocess.Popen(argv, cwd=site.root, env=env) for _ in range(4)]
    assert [process.wait(90) for process in started] == [0, 0, 0, 0]
    site.wait_for(complete=18)
    assert len(site.plans()) == 2
    assert set(site.completions().values()) == {1}


def test_a_waiting_submit_advances(site: Site) -> None:
    text = f"{ROLLING}closing: {{partition: nonesuch}}\n"
    said = site.hpcsweep("submit", site.manifest(text), "--wait")
    assert "s: 18 complete of 18" in said
    assert set(site.completions().values()) == {1}


def test_a_watching_status_advances(site: Site) -> None:
    site.hpcsweep("submit", site.manifest(f"{ROLLING}closing: false\n"))
    said = site.hpcsweep("status", "s", "--watch")
    assert "18 complete of 18" in said  # the progress
    assert "complete  18" in said  # and the state at the end
    assert set(site.completions().values()) == {1}


def test_nothing_is_sent_that_a_user_cancelled(site: Site) -> None:
    text = ROLLING.replace("[echo, '{x}']", "[sh, -c, 'sleep 60', '{x}']")
    site.hpcsweep("submit", site.manifest(text))
    wait_until(lambda: site.status().get("running", 0) > 0, 60, "a running case", poll_s=0.5)
    site.hpcsweep("cancel", "s")
    site.cluster.wait_empty()
    assert "nothing to submit" in site.hpcsweep("advance", "s")
    assert len(site.plans()) == 1
    said = site.hpcsweep("submit", site.manifest(ROLLING), "--allow-mixed")  # but for the user
    assert "submission 2" in said


def test_a_retry_that_would_run_other_code_is_refused_where_no_code_is_kept(site: Site) -> None:
    target = site.root / "t.py"
    target.write_text("def run(x):\n    if x == 1: raise MemoryError\n")
    site.hpcsweep(
        "submit",
        site.manifest(
            "target: t.py:run\nsource: {grid: {x: [0, 1]}}\nretry: {on: [error]}\n"
            "closing: {partition: nonesuch}\nsnapshot: none\n"
        ),
    )
    site.wait_for(complete=1, failed=1)
    target.write_text("def run(x):\n    pass\n")
    said = site.hpcsweep("advance", "s", code=4)
    assert "its code changed since submission 1" in said
    assert "hpcsweep submit" in said


def test_what_fails_again_and_again_is_given_up(site: Site) -> None:
    """An error that is named in `on` is retried by closing jobs, and not for ever."""
    (site.root / "t.py").write_text("def run(x):\n    assert x != 1\n")
    site.hpcsweep(
        "submit",
        site.manifest(
            "target: t.py:run\nsource: {grid: {x: [0, 1, 2]}}\n"
            "retry: {max_attempts: 3, on: [error]}\n"
        ),
    )
    wait_until(lambda: len(site.plans()) == 3, 90, "the third attempt", poll_s=0.5)
    site.wait_for(complete=2, failed=1)
    site.cluster.wait_empty()
    said = site.hpcsweep("advance", "s")
    assert "nothing to submit" in said
    given_up = "retry gave up 1 case: error after 3 attempts (index 1)"
    assert given_up in said
    assert given_up in site.hpcsweep("status", "s")
    assert [plan["indices"] for plan in site.plans()] == [[[0, 3]], [[1, 2]], [[1, 2]]]
    assert os.listdir(site.root / "outputs" / "s" / "runs" / ".attempts")  # noqa: PTH208


def test_a_full_queue_is_not_taken_for_a_finished_sweep(site: Site) -> None:
    for _ in range(2):
        site.cluster.out("sbatch", "--parsable", "--array=0-3", "-o", "o", "--wrap", "sleep 300")
    said = site.hpcsweep("submit", site.manifest(ROLLING), code=6)
    assert "MaxSubmitJobs of the association is 8, and 8 jobs and array tasks of yours are" in said
    assert not (site.root / "outputs").exists()


def test_a_user_is_told_once_of_the_end(site: Site) -> None:
    """Closing jobs send one message, though several find the end; a submit allows another one."""
    said = site.root / "said"
    tell = site.root / "tell.sh"
    tell.write_text(f'#!/bin/sh\necho "$1" >> {said}\n')
    tell.chmod(0o755)
    text = f"{ROLLING}notify: [./tell.sh]\n"
    site.hpcsweep("submit", site.manifest(text))
    site.wait_for(complete=18)
    site.hpcsweep("advance", "s")
    site.cluster.wait_empty()
    assert said.read_text() == "s is complete: 18 cases\n"
    grown = text.replace("[0, 18]", "[0, 20]")
    site.hpcsweep("submit", site.manifest(grown), "--wait")
    site.cluster.wait_empty()
    assert said.read_text().splitlines() == ["s is complete: 18 cases", "s is complete: 20 cases"]


def test_status_says_that_nobody_goes_on(site: Site) -> None:
    """All closing jobs are cancelled with scancel."""
    sleeping = "command: [sh, -c, 'while [ -e hold ]; do sleep 0.1; done', '{x}']\n"
    text = ROLLING.replace("command: [echo, '{x}']\n", sleeping)
    (site.root / "hold").touch()
    site.hpcsweep("submit", site.manifest(text))
    facts = sorted((site.root / "outputs" / "s" / "submissions").glob("*/*.closing.json"))
    jobs = [json.loads(fact.read_bytes())["job_id"] for fact in facts]
    site.cluster.out("scancel", *jobs)
    job = jobs[-1]
    (site.root / "hold").unlink()
    site.wait_for(complete=12, pending=6)
    said = site.hpcsweep("status", "s")
    assert f"no closing job does it: job {job} is CANCELLED, and it left no log" in said
    found = json.loads(site.hpcsweep("status", "s", "--json"))["standstill"]
    path = site.root / "outputs" / "s"
    assert found == {
        "cases": 6,
        "stages": [],
        "why": f"job {job} is CANCELLED, and it left no log",
        "next": f"hpcsweep advance {path}",
    }
    site.hpcsweep(*found["next"].split()[1:])
    site.wait_for(complete=18)
    assert json.loads(site.hpcsweep("status", "s", "--json"))["standstill"] is None
