"""Reading does not need writing: a read-only mount, an archive, another user's shared sweep."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated
from tests.support.project import Project
from tests.support.wait import wait_until

__all__ = ["emulated"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")

# In a mount name space of its own, where the sweep is read-only.
ON_A_READ_ONLY_MOUNT = (
    "unshare",
    "-m",
    "bash",
    "-c",
    'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"',
)
# Root without these is a user like any other: in files of another owner, one of their group.
AS_ANOTHER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown")
OWNER = 12345
READING = (
    ("status", "sweep", "--json"),
    ("collect", "sweep", "--format", "csv"),
    ("files", "sweep", "artifacts/metrics.json"),
    ("logs", "sweep", "1"),
    ("plan", "manifest.json"),
)

Tree = dict[str, bytes | None]


def tree(path: Path) -> Tree:
    """All that lies in a directory."""
    return {str(one): one.read_bytes() if one.is_file() else None for one in path.rglob("*")}


def said(project: Project, *argv: str, code: int = 0, **more: str) -> str:
    """The output of a reading command, without what may change from call to call."""
    done = subprocess.run(
        argv,
        cwd=project.root,
        env=project.cluster.env(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if "--json" in argv:
        found = json.loads(done.stdout)
        del found["cluster"]
        return json.dumps(found)
    return done.stdout + done.stderr


@pytest.fixture
def finished(emulated: EmulatedCluster) -> Project:
    """A finished sweep of three cases that its group may read, where others may get to."""
    root = Path(os.environ["HOME"]) / "project"
    project = Project(emulated, root, 3, chunk=3, share="group")
    project.submit("--wait")
    emulated.wait_over(project.job())
    return project


def check_all(project: Project, *before: str) -> None:
    """Every reading command says what the owner's says, and nothing is written."""
    expected = [said(project, HPCSWEEP, *command) for command in READING]
    known = tree(project.sweep)
    assert [said(project, *before, HPCSWEEP, *command) for command in READING] == expected
    doctor = said(project, *before, HPCSWEEP, "doctor", "sweep")
    assert "sqlite of sweep: 3 cases" in doctor
    assert tree(project.sweep) == known


def test_on_a_read_only_mount(finished: Project) -> None:
    before = (*ON_A_READ_ONLY_MOUNT, str(finished.sweep))
    check_all(finished, *before)
    # Writing commands report that they cannot write.
    for command in (("submit", "manifest.json", "--rerun", "all"), ("cancel", "sweep")):
        words = said(finished, *before, HPCSWEEP, *command, code=5)
        assert "cannot be written: Read-only file system" in words
    for options in ((), ("--rebuild",)):
        words = said(finished, *before, HPCSWEEP, "ingest", "sweep", *options, code=5)
        assert "you may not write here" in words


def test_another_users_shared_sweep(finished: Project) -> None:
    for path in (finished.sweep, *finished.sweep.rglob("*")):
        os.chown(path, OWNER, -1)
    check_all(finished, *AS_ANOTHER)
    words = said(finished, *AS_ANOTHER, HPCSWEEP, "submit", "manifest.json", code=5)
    assert "cannot be written: Permission denied" in words


@pytest.mark.parametrize("state", ["gone", "damaged", "no database"])
def test_an_archive_whose_index_cannot_be_used(finished: Project, state: str) -> None:
    """The journals are the truth: the index is made again, for this command alone."""
    commands = READING[:2]
    expected = [said(finished, HPCSWEEP, *command) for command in commands]
    path = finished.sweep / "store.sqlite3"
    match state:
        case "gone":
            path.unlink()
        case "damaged":
            path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 9000)
        case "no database":
            shutil.copy(finished.sweep / "sweep.json", path)
    known = tree(finished.sweep)
    before = (*ON_A_READ_ONLY_MOUNT, str(finished.sweep))
    assert [said(finished, *before, HPCSWEEP, *command) for command in commands] == expected
    assert tree(finished.sweep) == known


def test_a_verdict_that_cannot_be_kept_is_used(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The task was cancelled by hand, and its owner ran no command since."""
    project = Project(emulated, tmp_path / "project", 1, chunk=1)
    project.hold(0)
    project.submit()
    project.wait_begun(0)
    emulated.run("scancel", "--signal=KILL", "--full", project.job())
    emulated.run("scancel", project.job())
    emulated.wait_over(project.job())
    for path in project.sweep.glob("**/cluster.json"):
        path.unlink()
    known = tree(project.sweep)
    before = (*ON_A_READ_ONLY_MOUNT, str(project.sweep))

    def settled() -> bool:
        found = json.loads(said(project, *before, HPCSWEEP, "status", "sweep", "--json"))
        return bool(found["counts"]["interrupted"] == 1 and not found["tasks"])

    wait_until(settled, 60, "a verdict", poll_s=0.5)
    assert "interrupted" in said(project, *before, HPCSWEEP, "collect", "sweep", "--format", "csv")
    assert tree(project.sweep) == known
    project.wait_status(lambda found: found["counts"]["interrupted"] == 1, "the owner's verdict")
