"""What the benchmarks share: a clean installation, a sweep that nobody runs, medians, a table."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.manifest.user import load_manifest
from hpcsweep.settings import Settings
from hpcsweep.submission.arrays import SCRIPT_NAME
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import submit
from hpcsweep.sweepdir.directory import SweepDirectory

PACKAGE = Path(__file__).resolve().parents[1] / "hpcsweep"
REACHED = "reached"
# Its first line asks the one clock that all processes of a host share.
TARGET = f"""\
def run(x):
    import time
    now = time.monotonic_ns()
    with open(__file__ + ".{REACHED}", "w") as stream:
        stream.write(str(now))
"""
NOTHING = "def run(x):\n    return {'y': x}\n"


class Nowhere(Slurm):
    """A cluster that accepts every array and runs none."""

    def limits(self) -> Limits:
        """Those of a Slurm that nobody configured."""
        return Limits(cluster_name="nowhere", max_array_size=1001, kill_wait_s=30.0)

    def with_room(self, limits: Limits, options: object, own: object = None) -> Limits:  # noqa: ARG002  # any options
        """Any number of jobs."""
        return limits

    def submit(self, array: object, say: object) -> str:  # noqa: ARG002  # any array
        """Accept."""
        return "1"

    def submit_job(self, job: object) -> str:  # noqa: ARG002  # any job
        """Accept."""
        return "2"


def installed(directory: Path, *, dependencies: bool = False) -> str:
    """The interpreter of a new virtual environment with nothing in it but hpcsweep, compiled.

    As `pip install` leaves it: neither an editable install, whose hooks every process pays for,
    nor bytecode that is compiled again at each start. `dependencies` are links to those of the
    interpreter that runs.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = str(directory / "bin" / "python")
    query = [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copytree(PACKAGE, Path(found) / "hpcsweep", ignore=shutil.ignore_patterns("*.pyc"))
    if dependencies:
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if path.suffix != ".pth" and not (Path(found) / path.name).exists():
                (Path(found) / path.name).symlink_to(path)
    compiling = [python, "-I", "-m", "compileall", "-q", found]
    subprocess.run(compiling, env=environment(), check=True)
    return python


def prepared(
    directory: Path,
    cases: int = 1,
    *,
    runs: str = "all",
    target: str | None = TARGET,
    more: str = "",
) -> SweepDirectory:
    """A sweep of one array task, handed in to nowhere; its target does nothing.

    It has a time limit, as most sweeps: without one a task asks Slurm for it. `more`: further
    lines of its manifest, with the command if there is no `target`. The submission keeps the code:
    what is written into the file afterwards does not run.
    """
    directory.mkdir()
    if target is not None:
        (directory / "target.py").write_text(target)
        more += "target: target.py:run\n"
    manifest = directory / "manifest.yaml"
    manifest.write_text(
        f"name: noop\nchunk: {cases}\nruns: {runs}\nslurm: {{time: 60}}\n"
        f"source: {{grid: {{x: [{', '.join(map(str, range(cases)))}]}}}}\n{more}"
    )
    return submitted(manifest, directory / "noop")


def submitted(manifest: Path, path: Path) -> SweepDirectory:
    """The sweep in `path` of a manifest, handed in to nowhere."""
    frozen, source = load_manifest(manifest)
    request = SubmitRequest(manifest=frozen, source=source, path=path, file=manifest)
    cluster = Nowhere(kind="slurm", timeout_s=60, sbatch_timeout_s=60)
    return submit(request, cluster, Settings()).sweep


def worker_argv(sweep: SweepDirectory, python: str) -> list[str]:
    """The command that the sweep's script ends with, with another interpreter."""
    script = (sweep.submission_dir(1) / SCRIPT_NAME).read_text()
    *_, last = (line for line in script.splitlines() if line.startswith("exec "))
    _, _, *arguments = shlex.split(last.replace('"${hpcsweep_task[@]}"', "0"))
    return [python, *arguments]


def environment(**more: str) -> dict[str, str]:
    """What a batch job finds; nothing that changes how Python starts."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    return kept | more


def job_environment() -> dict[str, str]:
    """The environment of element 0 of an array, as Slurm 22.05 sets what a worker reads."""
    return environment(
        SLURM_ARRAY_JOB_ID="1",
        SLURM_ARRAY_TASK_ID="0",
        SLURM_JOB_ID="1",
        SLURM_CLUSTER_NAME="nowhere",
        SLURMD_NODENAME="n1",
        SLURM_CPUS_ON_NODE="1",
    )


def forget_runs(sweep: SweepDirectory) -> None:
    """Make the next start of the task the first one."""
    for path in (sweep.journal_dir(1), sweep.path / "runs"):
        shutil.rmtree(path)
    sweep.journal_dir(1).mkdir()
    (sweep.path / "runs" / ".attempts").mkdir(parents=True)


def lookups(argv: Sequence[str], env: Mapping[str, str], until: str = "") -> Counter[str]:
    """Paths that a command and all its processes look up, and how often.

    Counted is every system call of strace's class `%file` that names a path, whether it finds
    something or not, up to the first that names a file whose name contains `until`. An `fstat`,
    which the C library makes a `newfstatat` with an empty path, asks an open file: it looks
    nothing up.
    """
    trace = Path(env.get("TMPDIR", "/tmp")) / f"trace.{os.getpid()}"  # noqa: S108
    command = ["strace", "-f", "-qq", "-e", "trace=%file", "-o", str(trace), *argv]
    try:
        subprocess.run(command, env=dict(env), capture_output=True, check=False)
        calls = trace.read_text(errors="replace").splitlines()
    finally:
        trace.unlink(missing_ok=True)
    found: Counter[str] = Counter()
    for call in calls:
        named = re.search(r'"((?:[^"\\]|\\.)+)"', call)
        if named and until and until in named[1]:
            return found
        if named:
            found[named[1]] += 1
    if until:
        raise RuntimeError(f"{shlex.join(argv)} never came to {until}; its last call: {calls[-1:]}")
    return found


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took."""

    # Of the processor.
    seconds: float
    # The highest resident set.
    peak_bytes: int


def processor_time(argv: Sequence[str]) -> Used:
    """Run a program to its end, with its standard output thrown away."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise SystemExit(f"{shlex.join(argv)} ended with {process.returncode}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def seconds(action: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def medians(rounds: int, *actions: Callable[[], float]) -> list[float]:
    """The median of what each action returns; they take turns, so all see the same noise."""
    seen = [[action() for action in actions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*seen, strict=True)]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(columns)} |")
    print(f"|{'|'.join('---' for _ in columns)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def use_one_cpu() -> None:
    """Bind this process, and all that it starts, to one CPU."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def machine() -> str:
    """What the figures were measured on."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} CPUs, Python {version}, {sysconfig.get_platform()}"
