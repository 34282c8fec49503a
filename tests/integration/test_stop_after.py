"""The circuit breaker: too many failures stop a sweep while its tasks run, until a user goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.clusters import RealCluster
from tests.support.project import Project
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.small_site import Site, site
from tests.support.wait import wait_until

__all__ = ["site"]  # fixtures are found by their names

CASES = "target: t.py:run\nsource: {grid: {x: {range: [0, 30]}}}\n"
TARGET = """
from pathlib import Path
def run(x):
    if not Path(__file__).with_name("go").exists():
        raise ValueError("there is no go")
"""


def is_stopped(site: Site) -> bool:
    return (site.root / "outputs" / "s" / "stops" / "stop.json").exists()


def wait_for_empty_queue(site: Site) -> None:
    site.cluster.wait_empty()


def test_equal_failures_stop_a_part_while_it_runs_and_a_submit_goes_on(site: Site) -> None:
    (site.root / "t.py").write_text(TARGET)
    manifest = site.manifest(f"{CASES}chunk: 10\nstop_after: {{failures: 4, of: equal}}\n")
    site.hpcsweep("submit", manifest)
    wait_for_empty_queue(site)
    said = site.hpcsweep("status", "s")
    # Tasks that fail at the same moment may pass the threshold together.
    assert re.search(r"s is stopped: [4-9] cases failed with the same error \(stop_after\)", said)
    # The first task may find the sweep stopped before it begins a case.
    assert re.search(r"× ValueError: there is no go \(first index (0|10|20)\)", said)
    counts = site.status()
    assert 4 <= counts["failed"] < 10
    assert counts["interrupted"] + counts["failed"] == 30
    # Only a user resumes the sweep.
    assert "s is stopped" in site.hpcsweep("advance", "s")
    assert len(site.plans()) == 1
    (site.root / "go").touch()
    assert "submission 2" in site.hpcsweep("submit", manifest)
    wait_for_empty_queue(site)
    assert site.status() == {"complete": 30 - counts["failed"], "failed": counts["failed"]}
    assert "is stopped" not in site.hpcsweep("advance", "s")


def test_what_waits_is_held_and_released(site: Site) -> None:
    (site.root / "t.py").write_text(TARGET)
    cases = CASES.replace("30", "12")
    manifest = site.manifest(f"{cases}chunk: 4\nstop_after: {{failures: 2, then: hold}}\n")
    said = site.hpcsweep("submit", manifest, "--throttle", "1", "--wait", code=9)
    assert "s is stopped: 2 cases failed" in said
    found = json.loads(site.hpcsweep("status", "s", "--json"))
    assert found["stopped"]["held"]
    assert found["stopped"]["failures"] == 2
    assert site.status() == {"failed": 2, "interrupted": 2, "pending": 8}
    (site.root / "go").touch()
    site.hpcsweep("submit", manifest)
    assert not is_stopped(site)
    wait_for_empty_queue(site)
    assert site.status() == {"complete": 10, "failed": 2}


def test_on_a_real_slurm_what_waits_is_cancelled(slurm: PrivateSlurm, tmp_path: Path) -> None:
    """The closing job ends as well, since only a user resumes the sweep."""
    project = Project(RealCluster(slurm), tmp_path, 12, target=TARGET, chunk=2, stop_after=3)
    project.submit("--throttle", "1")
    project.wait_status(lambda seen: bool(seen["stopped"] and not seen["tasks"]), "a stopped sweep")
    project.wait_status(lambda seen: seen["counts"]["pending"] == 0, "verdicts on all tasks")
    names = project.job_names
    wait_until(
        lambda: names not in (queue := slurm.run("squeue", "-h", "-o", "%j").stdout) or queue,
        90,
        "the end of the closing job",
        poll_s=0.5,
    )
    seen = project.status()
    assert (seen["submissions"], seen["stopped"]["failures"]) == (1, 3)
    assert 3 <= seen["counts"]["failed"] <= 4
    assert seen["counts"]["failed"] + seen["counts"]["interrupted"] == 12
    (tmp_path / "go").touch()
    project.submit("--wait", code=9)
    assert project.status()["counts"]["complete"] == 12 - seen["counts"]["failed"]
