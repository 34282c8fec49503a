"""Submitting again: complete cases stay, missing ones are sent, and two submits do not overlap."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.faults.killing import Point, kill_at
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.fronted import Fronted
from tests.support.project import TARGET, Project, check_whole
from tests.support.wait import wait_until


def submissions(project: Project) -> list[str]:
    """The numbers of all submissions."""
    return sorted(path.name for path in (project.sweep / "submissions").iterdir())


def indices(project: Project, submission: int) -> list[list[int]]:
    """The ranges of indices of a submission."""
    path = project.sweep / "submissions" / f"{submission:04d}" / "plan.json"
    found: list[list[int]] = json.loads(path.read_bytes())["indices"]
    return found


def test_cases_in_flight_are_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 4, chunk=2)
    project.hold(0, 2)
    project.submit()
    project.wait_begun(0, 2)
    assert "nothing to submit, 4 cases are under way" in project.submit().stdout
    assert "nothing to submit, 4 cases are under way" in project.submit("--rerun", "all").stdout
    project.release(0, 2)
    project.submit("--wait")
    check_whole(project, 4)
    # Nothing is left to do.
    said = project.submit("--wait").stdout.splitlines()
    assert said == ["sweep: nothing to submit, 4 complete", "sweep: 4 complete of 4"]
    assert submissions(project) == ["0001"]
    assert project.executions() == dict.fromkeys(range(4), 1)


def test_the_second_of_two_submits_is_refused(emulated: EmulatedCluster, tmp_path: Path) -> None:
    front = Fronted(emulated, tmp_path)
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    front.before("sbatch", f"touch {reached}; until [ -e {gate} ]; do sleep 0.05; done")
    project = Project(front, tmp_path / "project", 2)

    with project.start("submit", "manifest.json") as first:
        wait_until(reached.exists, 60, "the first submit in its sbatch")
        second = project.submit(code=5)
        assert f"process {first.pid} on " in second.stderr
        assert "is submitting or cancelling in this sweep" in second.stderr
        project.cli("cancel", project.name, code=5)
        gate.touch()
        assert first.wait(60) == 0

    assert len(front.calls("sbatch")) == 1
    project.submit("--wait")
    check_whole(project, 2)
    assert submissions(project) == ["0001"]


def test_the_place_of_a_dead_submit_is_free(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path / "project", 1)
    point = Point(event="os.rename", matching="* */submissions/*")
    project.submit(code=-signal.SIGKILL, **kill_at([point], tmp_path / "marks"))
    assert list(project.sweep.glob(".claims/submit/*/metadata.json"))
    project.submit("--wait")
    check_whole(project, 1)


def test_a_grown_grid_keeps_what_is_finished(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """A new value in the middle and a new first one shift every index."""
    project = Project(emulated, tmp_path, 0, chunk=2, source={"grid": {"x": [1, 3, 5]}})
    project.submit("--wait")
    old = {row["x"]: row["case_id"] for row in project.collect()}

    project.write(source={"grid": {"x": [0, 1, 2, 3, 5]}}, chunk=3)
    # The difference is shown before anything is sent, and by reading commands.
    changed = [
        "other cases than in the last submission: 2 added, 0 removed, 3 kept",
        "  axis x: 2 added, 0 removed, 3 kept",
    ]
    assert project.cli("plan", "manifest.json").stdout.splitlines()[:2] == changed
    assert project.submit("--dry-run").stdout.splitlines()[:2] == changed
    assert project.submit("--wait").stderr.splitlines()[:2] == changed

    assert indices(project, 2) == [[0, 1], [2, 3]]
    assert project.executions() == {0: 1, 1: 1, 2: 1, 3: 1, 5: 1}
    rows = project.collect()
    assert [(row["index"], row["x"], row["square"]) for row in rows] == [
        (0, 0, 0),
        (1, 1, 1),
        (2, 2, 4),
        (3, 3, 9),
        (4, 5, 25),
    ]
    assert {row["x"]: row["case_id"] for row in rows if row["x"] in old} == old
    before = project.rows()
    project.cli("ingest", project.name, "--rebuild")
    assert project.rows() == before


def test_values_that_are_left_out_and_come_back(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """Meanwhile no table has them; they are not computed again."""
    project = Project(emulated, tmp_path, 3)
    project.submit("--wait")
    rows = project.collect()

    project.write(source={"grid": {"x": [2, 1]}})
    assert "nothing to submit, 2 complete" in project.submit("--wait").stdout
    assert [(row["index"], row["x"]) for row in project.collect()] == [(0, 2), (1, 1)]

    project.write(source={"grid": {"x": [0, 1, 2]}})
    project.submit("--wait")
    again = project.collect()
    for name in ("index", "x", "square", "case_id", "seed", "started", "run_dir"):
        assert [row[name] for row in again] == [row[name] for row in rows]
    assert sum(project.executions().values()) == 3


def test_another_target_or_seed_needs_allow_mixed(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path, 2)
    project.submit("--wait")
    project.write(seed=8)
    assert "the seed was 7 and is 8" in project.submit(code=5).stderr
    # With --allow-mixed complete cases stay; only repeated cases get the new seed.
    project.submit("--wait", "--allow-mixed")
    assert submissions(project) == ["0001"]
    seeds = {row["seed"] for row in project.rows().values()}
    project.submit("--wait", "--allow-mixed", "--rerun", "all")
    assert seeds.isdisjoint(row["seed"] for row in project.rows().values())
    assert {row["generation"] for row in project.rows().values()} == {1}
    check_whole(project, 2)


def told_of_other_code(project: Project) -> dict[str, tuple[int, int]]:
    """How often each command says that results come from other code, and of how many."""
    asked = {
        "plan": ("plan", "manifest.json"),
        "dry run": ("submit", "manifest.json", "--dry-run"),
        "status": ("status", project.name),
        "table": ("collect", project.name),
        "csv": ("collect", project.name, "--format", "csv"),
        "figure": ("plot", project.name, "--x", "x", "--y", "square"),
    }
    told = {}
    for what, command in asked.items():
        done = project.cli(*command)
        lines = [one for one in (done.stdout + done.stderr).splitlines() if "other code" in one]
        told[what] = len(lines), sum(int(line.split()[0]) for line in lines)
        if what in ("csv", "figure"):
            assert "other code" not in done.stdout
    counted = project.status()["other_code"]
    return told | {"--json": (min(counted, 1), counted)}


def test_changed_code_makes_complete_cases_stale(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 3, chunk=2)
    project.submit("--wait")
    code = {row["code_digest"] for row in project.rows().values()}
    assert project.status()["other_code"] == 0
    (tmp_path / "target.py").write_text(TARGET.replace("x * x", "x ** 2"))

    # Every command says so, before anything is sent.
    assert all(part == (1, 3) for part in told_of_other_code(project).values())
    done = project.submit("--wait")
    assert "3 of 3 complete cases were computed with other code (indices 0, 1, 2)" in done.stdout
    assert submissions(project) == ["0001"]

    project.write(source={"grid": {"x": [0, 1, 2, 3]}})
    project.submit("--wait")
    assert project.status()["other_code"] == 3
    done = project.submit("--wait", "--rerun", "stale")
    assert "other code" not in done.stdout
    assert all(part == (0, 0) for part in told_of_other_code(project).values())
    assert indices(project, 3) == [[0, 3]]
    check_whole(project, 4)
    rows = project.rows()
    assert {index: row["generation"] for index, row in rows.items()} == {0: 1, 1: 1, 2: 1, 3: 0}
    assert code.isdisjoint(row["code_digest"] for row in rows.values())
    assert len({row["code_digest"] for row in rows.values()}) == 1
    assert project.executions() == {0: 2, 1: 2, 2: 2, 3: 1}


def test_the_module_that_makes_the_cases_is_not_the_targets_code(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    """It is imported where a target is checked, and not where a case runs."""
    source = {"custom": {"reference": "cases:CASES"}}
    project = Project(emulated, tmp_path, 0, source=source)
    (tmp_path / "cases.py").write_text('CASES = [{"x": 1}, {"x": 2}]\n')
    project.submit("--wait")
    assert project.status()["other_code"] == 0


def test_cancel_then_submit(cluster: Cluster, tmp_path: Path) -> None:
    """Tasks that run and tasks that wait; what is complete stays."""
    project = Project(cluster, tmp_path, 6, chunk=1)
    project.hold(*range(1, 6))
    project.submit("--throttle", "2")
    project.wait_begun(0, 1, 2)

    assert project.cli("cancel", project.name).stdout == f"cancelled: {project.job()}\n"
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 5}, "5 cancelled")
    assert project.cli("cancel", project.name).stdout == "nothing to cancel\n"
    project.release(*range(1, 6))
    project.submit("--wait")

    assert indices(project, 2) == [[1, 6]]
    check_whole(project, 6)
    assert project.executions() == {0: 1, 1: 2, 2: 2, 3: 1, 4: 1, 5: 1}


def test_a_deleted_index_is_made_again(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 4, chunk=2, target=TARGET.replace("x * x", "6 // x"))
    project.submit("--wait", code=9)
    project.submit("--wait", "--rerun", "failed", code=9)
    before = project.rows()
    assert {row["status"] for row in before.values()} == {"complete", "failed"}

    (project.sweep / "store.sqlite3").unlink()
    project.cli("ingest", project.name, "--rebuild")
    assert project.rows() == before

    (project.sweep / "store.sqlite3").unlink()
    project.submit()
    assert project.rows() == before
    assert submissions(project) == ["0001", "0002"]


def test_wait_waits_for_the_parts_that_were_accepted(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    front = Fronted(emulated, tmp_path)
    tiny = '"$real" "$@" | sed "s/^MaxArraySize .*/MaxArraySize = 2/"; exit'
    front.before("scontrol", tiny)
    policy = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    front.before(
        "sbatch",
        (
            'case "$*" in *" 1") echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2;'
            f'echo "sbatch: error: Batch job submission failed: {policy}" >&2; exit 1;; esac'
        ),
    )
    project = Project(front, tmp_path / "project", 3, chunk=1)

    done = project.submit("--wait", code=6)

    assert "waiting for the parts that were accepted" in done.stderr
    assert "1 pending, 2 complete of 3" in done.stderr
    refusal = done.stderr.rpartition("hpcsweep: ")[2]
    assert "larger `chunk:`" in refusal
    assert "`slurm:`" not in refusal
    assert "Parts before number 1 of submission 1 were accepted" in refusal
    assert project.executions() == {0: 1, 1: 1}
    assert project.status()["tasks"] == {}, "what was refused is not told as sent"
    front.before("sbatch", "")
    project.submit("--wait")
    check_whole(project, 3)
