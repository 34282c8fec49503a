"""Several hosts at one sweep: stale views, deaf locks, clocks apart, ids used again, other users.

What is simulated: hosts are commands of this one, and what differs between them is said to each by
a library that is loaded before the C library. A *stale view* denies, by its name, what another
host made since the view was refreshed (as a negative look-up in the cache of an NFS client does;
listings show it, as they do there); contents are never old. *Deaf locks* are granted to everybody
(Lustre `localflock`). That a mount is of NFS is said by /proc/self/mountinfo. The kernel's
permissions and process ids are real ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.injecting import NETWORK, Fault, calls_in
from tests.support.clusters import EmulatedCluster
from tests.support.fixtures import Scale
from tests.support.project import Project, check_arrays, check_whole

CASES = 4


def on_host(project: Project, name: str, log: Path, **more: Any) -> dict[str, Any]:
    """The variables of a command that runs on another host."""
    mounts = project.root.parent / "mounts"
    mounts.write_text(NETWORK)
    fault = Fault(roots=(project.root,), calls=(), mounts=mounts, host=name, **more)
    return fault.variables(log)


def test_locks_that_do_not_see_each_other(
    emulated: EmulatedCluster, tmp_path: Path, scale: Scale
) -> None:
    project = Project(emulated, tmp_path / "project", CASES, tasks_ingest=True, chunk=2)
    count, log = scale(2, 4), tmp_path / "log"
    hosts = [on_host(project, f"h{n}", log, local_locks=True) for n in range(count)]
    started = [project.start("submit", "manifest.json", **host) for host in hosts]
    said = [process.communicate(timeout=120) for process in started]
    codes = sorted(process.returncode for process in started)
    assert codes[0] == 0, said
    assert set(codes) <= {0, 5}, said  # nothing to submit, or busy
    assert not any("Traceback" in err for _, err in said)
    project.submit("--wait", **hosts[0])
    started = [project.start("collect", "sweep", **host) for host in hosts]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * count, said
    check_whole(project, CASES)
    assert project.executions() == dict.fromkeys(range(CASES), 1)


def test_a_view_that_is_stale_for_a_while(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project, log = (
        Project(emulated, tmp_path / "project", CASES, tasks_ingest=True, chunk=2),
        tmp_path / "log",
    )
    here = on_host(project, "here", log)
    refreshed = tmp_path / "refreshed"
    there = on_host(project, "there", log, fresh_at=refreshed)

    def hidden() -> int:
        return sum(call.name == "stale" for call in calls_in(log))

    project.hold(*range(CASES))
    project.submit(**here)
    # A case that is not visible yet is not lost, not sent again and not damaged.
    for arguments in (("status", "sweep"), ("submit", "manifest.json"), ("collect", "sweep")):
        project.cli(*arguments, code=None, **there)
    assert (before := hidden()), "the sweep was not hidden"
    refreshed.touch()
    project.release(*range(CASES))
    project.submit("--wait", **here)
    for arguments in (("status", "sweep"), ("collect", "sweep")):
        project.cli(*arguments, code=None, **there)
    assert hidden() > before, "the results were not hidden"
    refreshed.touch()
    done = project.cli("collect", "sweep", "--format", "jsonl", **there)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["complete"] * CASES
    check_whole(project, CASES)
    assert project.executions() == dict.fromkeys(range(CASES), 1)


@pytest.mark.parametrize("clock_s", [-7200, 7200])
def test_clocks_apart(emulated: EmulatedCluster, tmp_path: Path, clock_s: int) -> None:
    """Of the host that submits and asks, against those of the tasks and the controller."""
    project = Project(emulated, tmp_path / "project", CASES, tasks_ingest=True, chunk=2)
    apart = Fault(
        roots=(project.root,), calls=(), clock_s=clock_s, program="*hpcsweep [!-]*sweep*"
    ).variables(tmp_path / "log")
    submitting = apart | {"FAULT_PROGRAM": "*hpcsweep submit *"}
    project.submit(**submitting)
    project.cli("status", "sweep", **apart)
    project.submit("--wait", **submitting)
    project.cli("collect", "sweep", **apart)
    check_whole(project, CASES)
    assert project.executions() == dict.fromkeys(range(CASES), 1)


REUSED = """
import os, signal, subprocess, sys, time
from pathlib import Path
base = Path(sys.argv[1])
code = (
    "import os, signal, sys; from hpcsweep import Logbook; from hpcsweep import claims;"
    "from pathlib import Path; base = Path(sys.argv[1]);"
    "Logbook('r', base); (base / 'c').mkdir(); claims.try_acquire(base / 'c', 'one');"
    "os.kill(os.getpid(), signal.SIGKILL)"
)
process = subprocess.Popen([sys.executable, "-c", code, str(base)])
process.wait()
for _ in range(100):
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(process.pid - 1))
    other = subprocess.Popen(["sleep", "60"])
    if other.pid == process.pid:
        break
    other.kill()
assert other.pid == process.pid, "the id was not used again"
from hpcsweep import LogReader, claims
print(LogReader(base / "log_r").status, claims.try_acquire(base / "c", "one") is not None)
other.kill()
"""


def test_a_process_id_that_is_used_again(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or os.geteuid():
        pytest.skip("needs root and unshare")
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSED]
    done = subprocess.run([*argv, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("interrupted True\n", 0), done.stderr


def test_a_second_user_in_a_shared_sweep(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """A reader of the group: root without its privileges over files that are somebody else's."""
    if shutil.which("setpriv") is None or os.geteuid():
        pytest.skip("needs root and setpriv")
    project = Project(
        emulated, tmp_path / "project", CASES, tasks_ingest=True, chunk=2, share="group"
    )
    project.submit("--wait")
    project.collect()
    owned = [project.root, *project.root.rglob("*")]
    for path in owned:
        os.chown(path, 12345, 0, follow_symlinks=False)
    project.root.chmod(0o750)
    lesser = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", "--"]
    assert subprocess.run([*lesser, "touch", str(project.sweep / "x")], check=False).returncode
    before = {path: path.lstat().st_mtime_ns for path in owned}
    for arguments in (
        ("status", "sweep"),
        ("collect", "sweep"),
        ("files", "sweep", "metadata.json"),
        ("logs", "sweep", "1"),
        ("doctor", "sweep"),
    ):
        argv = [*lesser, sys.executable, "-m", "hpcsweep"]
        done = subprocess.run(
            [*argv, *arguments],
            cwd=project.root,
            env=emulated.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or arguments[0] == "doctor", (arguments, done)
    after = [project.root, *project.root.rglob("*")]
    assert {path: path.lstat().st_mtime_ns for path in after} == before
    # And the owner goes on.
    for path in after:
        os.chown(path, 0, 0, follow_symlinks=False)
    project.write(source={"grid": {"x": list(range(CASES + 1))}})
    project.submit("--wait")
    check_whole(project, CASES + 1)
    check_arrays(project)
