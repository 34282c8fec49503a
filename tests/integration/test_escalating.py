"""Closing jobs repeat cases that ran out of memory or time, with more, until they complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.clusters import started_emulated
from tests.support.project import TARGET, Project

# Case 1 needs more than the first 150 MB and holds them until that is seen, case 2 does not end in
# its first attempt, case 3 fails always.
BEHAVIOUR = """\
    is_first = not (HERE / f"tried.{x}").exists()
    (HERE / f"tried.{x}").touch()
    if x == 1:
        held = b"1" * 200_000_000
    if x in (1, 2) and is_first:
        time.sleep(600)
    if x == 3:
        raise RuntimeError
"""
ESCALATING = TARGET.replace('    return {"square"', BEHAVIOUR + '    return {"square"')


def asked(project: Project) -> dict[int, list[dict[str, Any]]]:
    """What the array tasks of each case asked for, by attempt."""
    found: dict[int, list[dict[str, Any]]] = {}
    for path in sorted(project.sweep.glob("submissions/*/plan.json")):
        plan = json.loads(path.read_bytes())
        for first, end in plan["indices"]:
            for index in range(first, end):
                options = plan.get("options") or project.manifest["slurm"]
                found.setdefault(index, []).append(options)
    return found


def test_what_ran_out_is_raised_until_it_is_enough_or_given_up(tmp_path: Path) -> None:
    with started_emulated(mem_poll_s=0.3, time_scale=0.15, requeue_delay_s=0.2) as cluster:
        project = Project(
            cluster,
            tmp_path,
            4,
            target=ESCALATING,
            chunk=1,
            slurm={"time": "00:01:00", "mem": "150M"},
            retry={
                "max_attempts": 3,
                "on": ["out_of_memory", "timeout", "error"],
                "scale": {"mem": 4.0, "time": 20.0},
            },
        )
        project.submit()
        cluster.emulated.wait_empty()
        seen = project.status()
        assert (seen["counts"]["complete"], seen["reasons"]) == (3, {"error": 1})
        assert "nothing to submit" in project.cli("advance", project.name).stdout
        requests = asked(project)
        runs = project.executions()
    assert runs == {0: 1, 1: 2, 2: 2, 3: 3}
    assert {index: len(options) for index, options in requests.items()} == runs
    assert [one["time"] for one in requests[2]] == ["00:01:00", "00:20:00"]
    assert {one["mem"] for one in requests[3]} == {"150M"}
    first, second = (int(one["mem"].removesuffix("M")) for one in requests[1])
    assert second >= 4 * first
