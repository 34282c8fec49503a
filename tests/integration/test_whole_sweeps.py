"""Whole sweeps on a cluster: what runs is left alone, and what was renamed or copied goes on."""

from __future__ import annotations

from pathlib import Path

from tests.support import clusters
from tests.support.clusters import EmulatedCluster
from tests.support.project import CLI_S, Project
from tests.support.wait import wait_until

emulated = clusters.emulated

# Fails for x == 1 until there is a file `good`.
TARGET = """\
import time
from pathlib import Path

HERE = Path(__file__).parent


def run(x):
    while (HERE / f"hold.{x}").exists():
        time.sleep(0.02)
    if x == 1 and not (HERE / "good").exists():
        raise ValueError("no good")
    return {"square": x * x}
"""


def test_a_sweep_goes_on_under_its_new_name_and_as_a_copy(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path, 3, target=TARGET, chunk=1)
    project.hold(2)
    project.submit()
    project.wait_status(lambda seen: bool(seen["counts"]["running"]), "a case that is held")
    for arguments in (("rename", "sweep", "new"), ("rm", "sweep", "--yes"), ("archive", "sweep")):
        assert "of its array tasks run or wait" in project.cli(*arguments, code=5).stderr
    assert project.cli("clean", "sweep").stdout == "nothing to remove\n"
    project.release(2)
    project.submit("--wait", code=9)

    # The task of a case that has ended may be in the queue for a moment.
    wait_until(
        lambda: project.cli("copy", "sweep", "copies", code=None).returncode == 0, CLI_S, "a copy"
    )
    project.cli("rename", "sweep", "new")
    (tmp_path / "good").touch()
    said = project.cli("retry", "new", "--wait").stdout
    assert "new: submission 2, 1 case in 1 array task" in said
    assert "new: 3 complete of 3" in said
    project.write(name="new")
    assert project.submit().stdout == "new: nothing to submit, 3 complete\n"
    assert emulated.arrays("new.")

    # The copy lacks what was computed since, and computes it by itself.
    said = project.cli("retry", "copies/sweep", "--wait").stdout
    assert "sweep: submission 2, 1 case in 1 array task" in said
    assert "sweep: 3 complete of 3" in said
    rows = project.cli("collect", "new", "--format", "csv", "--columns", "x,square").stdout
    assert (
        rows
        == project.cli("collect", "copies/sweep", "--format", "csv", "--columns", "x,square").stdout
    )
    project.cli("rm", "new", "copies/sweep", "--yes")
    assert not list((tmp_path / "outputs").iterdir())
