"""The files of a sweep directory: those that a task may read never change; all are private."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.project import TARGET, Project, check_whole

TALKATIVE = TARGET.replace("def run(x):", "def run(x, log):\n    print(x)\n    log.info('hello')")


def contents(path: Path) -> dict[str, str]:
    """A hash of every file below a directory."""
    files = (one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): sha256(one.read_bytes()).hexdigest() for one in files}


def test_a_file_that_a_task_reads_is_never_rewritten(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    """Everything that happens to a sweep adds files to those of its submissions and manifests."""
    project = Project(emulated, tmp_path, 3, chunk=1)
    seen: dict[str, dict[str, str]] = {"submissions": {}, "manifests": {}}

    def unchanged() -> None:
        for room, before in seen.items():
            now = contents(project.sweep / room)
            assert before.items() <= now.items()
            seen[room] = now

    project.hold(1)
    project.submit()
    project.wait_begun(1)
    unchanged()
    project.cli("cancel", project.name)
    emulated.wait_over(project.job())
    unchanged()
    project.release(1)
    project.submit("--wait")
    unchanged()
    project.write(source={"grid": {"x": [4, 0, 1, 2]}})
    project.submit("--wait", "--rerun", "all")
    project.cli("ingest", project.name, "--rebuild")
    project.collect()
    unchanged()
    assert len(seen["manifests"]) == 2
    assert sum(name.endswith("plan.json") for name in seen["submissions"]) == 3


def test_all_files_of_a_sweep_are_private(cluster: Cluster, tmp_path: Path) -> None:
    """Under the most generous umask, and under that of most groups."""
    project = Project(cluster, tmp_path, 2, target=TALKATIVE, chunk=1)
    before = os.umask(0o000)
    try:
        project.submit("--wait")
        os.umask(0o002)
        project.submit("--wait", "--rerun", "all")
        project.collect()
    finally:
        os.umask(before)
    check_whole(project, 2)
    others = stat.S_IRWXG | stat.S_IRWXO
    # Slurm itself makes a task's log, with the umask of whoever submitted; the way to it is closed.
    logs = set(project.sweep.glob("logs/*/*.log"))
    assert len(logs) == 4
    found = {
        str(path.relative_to(tmp_path)): stat.filemode(path.lstat().st_mode)
        for path in {project.sweep, *project.sweep.rglob("*")} - logs
        if path.lstat().st_mode & others and not path.is_symlink()
    }
    assert found == {}
