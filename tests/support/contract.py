"""Contract cases: shell commands with the answers of real Slurms, run on any cluster.

There is a set of answers for each version of Slurm, to the same commands.

A file of cases is text; cases are separated by empty lines. `$ COMMAND` is run by bash in a
directory of the case's own, `@ WORD ...` waits, other lines are what the command must answer:
standard output, then standard error with `! ` before each line, then `[N]` unless the exit code is
0. `~` stands for an empty line. The job ids that sbatch prints become `J1`, `J2`, ..., which later
commands have as `$J1`.

`python -m tests.support.contract [FILE...]` asks the commands of the oldest version's files to a
private real Slurm, and writes its answers into the set of its version.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpcsweep.emulator import Partition
from tests.support.emulated import Emulated
from tests.support.slurm_cluster import PATH, PrivateSlurm
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import WaitTimeout, wait_until

CASES = Path(__file__).parents[1] / "data" / "slurm-contract"
# The versions with answers; the files of the first one have the commands.
VERSIONS = ("22.05", "24.11", "26.05")
PRELUDE = Path(__file__).with_name("contract.sh")
# Cases at once: most of their time is waiting, and programs share two cores.
_AT_ONCE = 10
_WAIT_S = 150.0
# A query after a pause, or of the accounting. On a slow machine what it shows comes later: up to so
# many seconds.
_QUERY_LATER = re.compile(r"\$ (?:sleep \d+; (?=[qac])|(?=a ))([qac] [^;]*)$")
_LATER_S = 10.0
# Job ids so large that no other number of an answer looks like one.
FIRST_JOB_ID = 7_000_000
# The same cluster twice, as far as answers go.
EMULATED: dict[str, Any] = {
    # The users that slurmdbd knows from the start, and the one that runs the daemons.
    "account": getpass.getuser(),
    "accounts": (getpass.getuser(),),
    "first_job_id": FIRST_JOB_ID,
    "max_array_size": 1001,
    "max_job_count": 200_000,
    "min_job_age_s": 600.0,
    "kill_wait_s": 5.0,
    "requeue_delay_s": 4.0,
    "time_scale": 0.05,
    "partitions": (
        Partition(name="main"),
        Partition(name="short", max_time=5, default_time=3),
        Partition(name="dead", state="DOWN"),
        Partition(name="inact", state="INACTIVE"),
    ),
}
REAL = SlurmOptions(
    min_job_age=600,
    max_array_size=1001,
    extra=(
        f"FirstJobId={FIRST_JOB_ID}",
        "SlurmctldParameters=enable_expedited_requeue",  # of 25.11; others pass over it
        "PartitionName=short Nodes=n[1-4] MaxTime=5 DefaultTime=3 State=UP",
        "PartitionName=dead Nodes=n[1-4] State=DOWN",
        "PartitionName=inact Nodes=n[1-4] State=INACTIVE",
    ),
)
# The file whose cases need nodes with GPUs; all others are asked of nodes without.
GPUS = "gpus"
GPUS_OF_A_NODE = 2


@dataclass(kw_only=True)
class Case:
    """Some commands, each with its answer."""

    name: str
    # The file that holds it.
    path: Path
    comments: list[str] = field(default_factory=list)
    steps: list[tuple[str, list[str]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of its file, without comments."""
        return _join(self.steps)


def by_cluster(cases: Iterable[Case]) -> Iterator[tuple[int, list[Case]]]:
    """The cases that are asked of one cluster, with the count of GPUs that its nodes have."""
    for gpus in (0, GPUS_OF_A_NODE):
        if some := [case for case in cases if (case.path.stem == GPUS) == bool(gpus)]:
            yield gpus, some


def ask_real(cases: list[Case]) -> dict[str, str]:
    """What private real Slurms answer, by name of the case."""
    answers: dict[str, str] = {}
    for gpus, some in by_cluster(cases):
        with PrivateSlurm(replace(REAL, gpus=gpus)) as cluster:
            place = cluster.directory / "cases"
            place.mkdir(mode=0o755)
            answers |= Runner(cluster.env(), place).run_all(some)
    return answers


def ask_emulated(version: str, cases: list[Case]) -> dict[str, str]:
    """What emulated clusters answer in a version, by name of the case."""
    answers: dict[str, str] = {}
    for gpus, some in by_cluster(cases):
        knobs = EMULATED | {"slurm_version": version, "gres": f"gpu:{gpus}" if gpus else ""}
        with tempfile.TemporaryDirectory(prefix="hc-", dir="/tmp") as place:
            Path(place).chmod(0o755)
            with Emulated(Path(place) / "cluster", **knobs) as cluster:
                answers |= Runner(cluster.env(), cluster.work).run_all(some)
    return answers


def _join(steps: Iterable[tuple[str, list[str]]]) -> str:
    return "".join("\n".join([command, *answer]) + "\n" for command, answer in steps)


def read(path: Path) -> list[Case]:
    """The cases of one file."""
    cases: list[Case] = []
    for paragraph in re.split(r"\n\n+", path.read_text().strip("\n")):
        case = Case(name="", path=path)
        for line in paragraph.split("\n"):
            if line.startswith(("$ ", "@ ")):
                case.steps.append((line, []))
            elif line.startswith("# ") and not case.steps:
                case.comments.append(line)
            else:
                case.steps[-1][1].append(line)
        if case.steps:
            case.name = f"{path.stem}: {case.steps[0][0][2:]}"[:70]
        cases.append(case)
    return cases


def installed_version() -> str:
    """The version of the Slurm on this machine: `24.11`."""
    argv, environment = ["slurmctld", "-V"], {"PATH": PATH}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return ".".join(done.stdout.split()[1].split(".")[:2])


def read_all(version: str = VERSIONS[0]) -> list[Case]:
    """All cases with commands and that version's answers, each with a name of its own."""
    paths = sorted((CASES / version).glob("*.txt"))
    cases = [case for path in paths for case in read(path) if case.steps]
    seen: dict[str, int] = {}
    for case in cases:
        seen[case.name] = seen.get(case.name, 0) + 1
        if seen[case.name] > 1:
            case.name += f" ({seen[case.name]})"
    return cases


class Runner:
    """Runs cases on one cluster.

    `environment` leads to the cluster; `directory` is where cases work.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        keep = ("PATH", "SLURM_CONF", "HOME", "TMPDIR")
        self._environment = {name: environment[name] for name in keep if name in environment}
        self._environment |= {"LC_ALL": "C.UTF-8", "BASH_ENV": str(PRELUDE)}
        self._directory = directory

    def run_all(self, cases: list[Case]) -> dict[str, str]:
        """What each case answers, by its name; the slow ones are begun first."""
        order = sorted(cases, key=lambda case: "@ slow" not in dict(case.steps))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(self.run, order))
        return {case.name: answer for case, answer in zip(order, answers, strict=True)}

    def run(self, case: Case) -> str:
        """The case with the answers of this cluster."""
        place = self._directory / f"case{abs(hash(case.name)):x}"
        place.mkdir()
        jobs: dict[str, str] = {}
        answers = []
        for command, recorded in case.steps:
            if command.startswith("@ "):
                answers.append((command, self._wait(command.split()[1:], jobs)))
                continue
            answer = self._run(command[2:], place, jobs)
            if answer != recorded and (query := _QUERY_LATER.match(command)):
                answer = self._ask_again(query[1], recorded, place, jobs)
            answers.append((command, answer))
        if jobs:
            self._program("scancel", *jobs.values())
        return _join(answers)

    def _ask_again(
        self, query: str, recorded: list[str], place: Path, jobs: dict[str, str]
    ) -> list[str]:
        """The answer to a query, as soon as it is the recorded one; the last one otherwise."""
        answers: list[list[str]] = []

        def is_as_recorded() -> bool:
            answers.append(self._run(query, place, jobs))
            return answers[-1] == recorded

        with contextlib.suppress(WaitTimeout):
            wait_until(is_as_recorded, _LATER_S, query, poll_s=0.2)
        return answers[-1]

    def _run(self, command: str, place: Path, jobs: dict[str, str]) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=self._environment | jobs,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WAIT_S,
            check=False,
        )
        if "sbatch" in command:
            pattern = r"^(?:Submitted batch job )?(\d{7,})(?:;\w+| on cluster \w+)?$"
            for job in re.findall(pattern, done.stdout, re.MULTILINE):
                jobs[f"J{len(jobs) + 1}"] = job
        errors = [f"! {line}" for line in done.stderr.splitlines()]
        lines = [line or "~" for line in done.stdout.splitlines()] + errors
        if done.returncode:
            lines.append(f"[{done.returncode}]")
        return [self._plain(line, place, jobs) for line in lines]

    @staticmethod
    def _plain(line: str, place: Path, jobs: dict[str, str]) -> str:
        """Replace what differs from run to run."""
        host = re.escape(os.uname().nodename.partition(".")[0])
        line = re.sub(rf"\b{host}\b", "HOST", line.replace(str(place), "DIR"))
        for name, job in jobs.items():
            line = re.sub(rf"(?<!\d){job}(?!\d)", name, line)
        line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?", "TIME", line)
        line = re.sub(r"\bn[1-4]\b", "NODE", line)
        line = re.sub(rf"\bby {os.getuid()}\b", "by UID", line)
        return re.sub(rf"(?<![a-zA-Z/]){getpass.getuser()}(?![a-zA-Z])", "USER", line)

    def _program(self, *argv: str) -> str:
        return subprocess.run(
            argv,
            env=self._environment | {"BASH_ENV": "/dev/null"},
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            check=False,
        ).stdout

    def _wait(self, words: list[str], jobs: dict[str, str]) -> list[str]:
        """`ended J1`: all of it is over, and the accounting knows; `J1 STATE...`: that state."""
        what, *states = words
        if what == "slow":
            return []
        name = states[0] if what == "ended" else what
        if name not in jobs:
            return [f"! there is no {name}"]
        job = jobs[name]
        looks = (lambda: self._is_settled(job)) if what == "ended" else None
        try:
            wait_until(looks or (lambda: self._is_in(job, states)), _WAIT_S, "", poll_s=0.5)
        except WaitTimeout as late:
            return [f"! {late}"]
        return []

    def _is_in(self, job: str, states: list[str]) -> bool | str:
        argv = ("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T")
        seen = set(self._program(*argv).split())
        return (bool(seen) and seen <= set(states)) or str(seen)

    def _is_settled(self, job: str) -> bool | str:
        seen = self._program("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").split()
        if not seen or {"PENDING", "RUNNING", "COMPLETING"} & set(seen):
            return str(seen)
        argv = ("sacct", "-nP", "-j", job, "-o", "JobName,State,End")
        rows = self._program(*argv).splitlines()
        if not rows or any(row.startswith("allocation|") or "Unknown" in row for row in rows):
            return str(rows)
        return not any("|RUNNING|" in row or "|PENDING|" in row for row in rows) or str(rows)


def _record(paths: list[Path]) -> None:
    """Write the answers of a real Slurm to the commands of the files."""
    files = {path.resolve(): read(path) for path in paths}
    cases = [case for some in files.values() for case in some if case.steps]
    for number, case in enumerate(cases):
        case.name = str(number)
    started = time.monotonic()
    answers = ask_real(cases)
    answered = CASES / installed_version()
    answered.mkdir(exist_ok=True)
    for path, some in files.items():
        parts = [
            "\n".join([*case.comments, answers.get(case.name, "")]).strip("\n") for case in some
        ]
        (answered / path.name).write_text("\n\n".join(parts) + "\n")
    sys.stderr.write(f"{len(cases)} cases in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    _record([Path(name) for name in sys.argv[1:]] or sorted((CASES / VERSIONS[0]).glob("*.txt")))
