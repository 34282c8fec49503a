"""Bare surroundings (cron, a container, a full disk): streams, home, user or descriptors lack."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.sources import grid
from tests.support.clusters import HPCSWEEP, Cluster, EmulatedCluster, cluster, emulated
from tests.support.here import Here, here, holds
from tests.support.sweeps import MadeSweep

__all__ = ["cluster", "emulated", "here"]

COMMANDS = ("status s", "collect s --format csv", "schema", "files s stdout.txt", "--help")


@pytest.fixture(scope="module")
def sweep(emulated: EmulatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """A finished sweep, whose logs do not fit a buffer."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("bare")
        made = Here.settle(emulated, path, patch)
        made.write("t.py", "def f(x):\n    print('word ' * 9999)\n    return {'y': 2 * x}\n")
        made.does("submit", "m.yaml", "--wait")
    return made


def ends(here: Here, command: str, streams: str, **more: str) -> tuple[int, str, str]:
    """Run a command whose streams a shell redirects; return its exit code, output and errors."""
    line = f"exec {shlex.quote(HPCSWEEP)} {command} {streams}"
    env = here.cluster.env(**more)
    for name in ("out", "err"):
        (here.path / name).unlink(missing_ok=True)
    done = subprocess.run(["bash", "-c", line], cwd=here.path, env=env, check=False, timeout=60)
    texts = [
        (here.path / name).read_text() if (here.path / name).exists() else ""
        for name in ("out", "err")
    ]
    assert "Traceback" not in "".join(texts), texts
    assert "Exception ignored" not in "".join(texts), texts
    return done.returncode, texts[0], texts[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_standard_output(sweep: Here, command: str) -> None:
    code, _, err = ends(sweep, command, ">/dev/full 2>err")
    assert code == 1
    holds(
        err,
        "hpcsweep: standard output: No space left on device",
        "the effects of the command remain",
    )


@pytest.mark.parametrize("streams", [">&- 2>err", "<&- >&- 2>&-", ">out 2>/dev/full"])
def test_closed_streams_do_not_change_the_outcome(sweep: Here, streams: str) -> None:
    code, out, err = ends(sweep, "status s", streams)
    assert (code, err) == (0, "")
    assert out == "" or "complete  2" in out


def test_output_to_closed_streams_reaches_no_file(here: Here) -> None:
    """The next file that is opened gets the lowest number that is free: 1."""
    here.write(
        "t.py", "import os\ndef f(x):\n    os.write(1, b'stray')\n    os.write(2, b'stray')\n"
    )
    code, _, _ = ends(here, "submit m.yaml --wait", "<&- >&- 2>&-")
    assert code == 0
    assert [row["status"] for row in here.rows()] == ["complete"] * 2
    script = "import os; from hpcsweep import program; program.begin(); os.write(3, str(["
    script += (
        "(os.readlink(f'/proc/self/fd/{n}'), os.get_inheritable(n)) for n in range(3)]).encode())"
    )
    line = f"exec {sys.executable} -c {shlex.quote(script)} 3>seen <&- >&- 2>&-"
    subprocess.run(["bash", "-c", line], cwd=here.path, check=True)
    assert (here.path / "seen").read_text() == str([("/dev/null", True)] * 3)


@pytest.mark.parametrize("streams", [">/dev/full", "<&- >&-"])
def test_programs_of_slurm_lose_what_cannot_be_written(cluster: Cluster, streams: str) -> None:
    """As recorded here from Slurm 22.05, next to the emulated one."""
    before = set(cluster.arrays("lost"))
    for program in (
        "squeue",
        "sinfo",
        "scontrol show config",
        "sbatch --help",
        "sbatch -J lost -a 0 -o /dev/null --wrap true",
    ):
        done = subprocess.run(
            ["bash", "-c", f"exec {program} {streams}"],
            env=cluster.env(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), program
    assert len(set(cluster.arrays("lost")) - before) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"HOME": None, "USER": None, "LOGNAME": None, "TERM": None},
        {"TMPDIR": "/nonexistent/job4711", "HOME": "/proc", "XDG_CONFIG_HOME": None},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2"},
    ],
    ids=str,
)
def test_an_environment_that_lacks_much(here: Here, given: dict[str, str | None]) -> None:
    env = here.cluster.env() | {name: value for name, value in given.items() if value is not None}
    for name in [name for name, value in given.items() if value is None]:
        env.pop(name, None)
    argv = [HPCSWEEP, "submit", "m.yaml", "--wait"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "s: 2 complete of 2" in done.stdout
    assert "Warning" not in done.stderr


def test_an_unwritable_home(here: Here) -> None:
    env = {name: value for name, value in here.cluster.env().items() if name[:4] != "XDG_"}
    argv = [HPCSWEEP, "submit", "m.yaml"]
    done = subprocess.run(
        argv, env=env | {"HOME": "/proc"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 5
    holds(done.stderr, "hpcsweep: /proc/.local", "cannot be written", "Check permissions")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("files", [64, 12, 8])
def test_few_descriptors(here: Here, files: int) -> None:
    line = f"ulimit -n {files}; exec {shlex.quote(HPCSWEEP)} submit m.yaml"
    done = subprocess.run(
        ["bash", "-c", line],
        env=here.cluster.env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "Too many open files" in done.stderr, done.stderr


def test_an_interrupt_while_modules_load_leaves_no_traceback() -> None:
    """On a busy file system that takes seconds."""
    line = "from hpcsweep import program; program.begin(); raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "Aborted!\n")


def test_a_locale_that_cannot_write_a_name(tmp_path: Path) -> None:
    (tmp_path / "ü").mkdir()
    made = MadeSweep(tmp_path / "ü", grid(x=[1]))
    made.plan()
    made.run()
    plan = made.directory.submission_dir(1) / "plan.json"
    plan.write_text(plan.read_text().replace("{", '{"code_files": ["target.py"], ', 1))
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    argv = [HPCSWEEP, "collect", str(made.path)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    holds(done.stderr, "LC_ALL: the encoding of this locale", "\\xfc", "Set LC_ALL=C.UTF-8")
    assert "Traceback" not in done.stderr
