"""Idioms of computing centres on the emulated and a real Slurm, side by side.

`python -m tests.support.idioms [-v]` starts both, runs each line of tests/data/idioms.txt on each,
and prints a table: as the real one, refused by name, or different (with `-v` how).
"""

from __future__ import annotations

import difflib
import getpass
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.support import contract
from tests.support.emulated import Emulated
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import wait_until

IDIOMS = Path(__file__).parents[1] / "data" / "idioms.txt"
AS_REAL, REFUSED, DIFFERENT = "as the real one", "refused by name", "different"
_TIMEOUT_S = 60
# The jobs that an idiom finds, by the variable that names them.
_SETUP = {
    "R": "sbatch --parsable -J runner -t 30 -o /dev/null --wrap 'srun sleep 600'",
    "D": "sbatch --parsable --wait -J done -t 5 -o /dev/null --wrap 'srun true'",
    "F": "sbatch --parsable --wait -J failed -t 5 -o /dev/null --wrap 'exit 3'",
    "P": "sbatch --parsable -H -J held --mem=100 -t 1:00:00 -o /dev/null ok.sh",
    "A": "sbatch --parsable -H -J array --array=0-3 -t 5 -o /dev/null ok.sh",
}
# Texts that differ from run to run or from machine to machine, and their placeholders.
_VARIABLE = (
    (r"\b70000\d\d(?!\d)", "JOB"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME"),
    (r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}( \(\d+\))?", "DATE"),
    (r"\b(00:)?0?\d:[0-5]\d\b(?=.*(runner| n1))", "USED"),
    (r"\b(00:00:\d\d|00:\d\d\.\d{3}|0:\d\d)\b", "SHORT"),
    (r"\b429\d{7}\b", "PRIORITY"),
    (r"(AllocNode:Sid|Port|CPULoad|FreeMem|NodeHostName|OS|Priority)=[^=]*(?= \w+=|$)", r"\1=X"),
    (r"\(\d+ secs\)", "(N secs)"),
)


def read() -> list[str]:
    """The idioms."""
    return [line for line in IDIOMS.read_text().splitlines() if line and line[0] != "#"]


class Shell:
    """Runs idioms on one cluster, one after the other."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        keep = ("PATH", "SLURM_CONF", "HOME", "TMPDIR")
        self._environment = {name: environment[name] for name in keep if name in environment}
        self._environment |= {"LC_ALL": "C.UTF-8", "USER": getpass.getuser()}
        self._environment["BASH_ENV"] = str(contract.PRELUDE)
        self._directory = directory
        self._jobs: dict[str, str] = {}
        for name, command in _SETUP.items():
            self._jobs[name] = self._bash(command, directory / "setup").stdout.strip()
        wait_until(self._is_ready, _TIMEOUT_S, "the jobs of the idioms are there", poll_s=0.2)

    def _is_ready(self) -> bool | str:
        """The running job has its step, and accounting knows what is over."""
        steps = self._bash(f"squeue -h -s -j {self._jobs['R']}", self._directory / "setup").stdout
        argv = f"sacct -nXP -j {self._jobs['D']},{self._jobs['F']},{self._jobs['R']} -o jobname"
        jobs = set(self._bash(argv, self._directory / "setup").stdout.split())
        return (".0" in steps and jobs == {"done", "failed", "runner"}) or f"{steps} {jobs}"

    def _bash(self, command: str, place: Path) -> subprocess.CompletedProcess[str]:
        place.mkdir(exist_ok=True)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=self._environment | self._jobs,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )

    def run(self, number: int, idiom: str) -> str:
        """The answer to an idiom, with placeholders for what differs from run to run."""
        place = self._directory / f"idiom{number:03}"
        try:
            done = self._bash(idiom, place)
        except subprocess.TimeoutExpired:
            return f"not over after {_TIMEOUT_S} s"
        text = done.stdout + "".join(f"! {line}\n" for line in done.stderr.splitlines())
        text = f"{text}[{done.returncode}]".replace(str(place), "DIR")
        text = text.replace(str(self._directory / "setup"), "SETUP")
        text = text.replace(os.uname().nodename.partition(".")[0], "HOST")
        for pattern, word in _VARIABLE:
            text = re.sub(pattern, word, text, flags=re.MULTILINE)
        for name in ("ok.sh", "wrap", "test", "interactive"):
            self._bash(f"scancel -Q -n {name}", self._directory / "setup")
        return text


def compare(seen: str, real: str) -> str:
    """The verdict on one idiom."""
    if seen == real:
        return AS_REAL
    return REFUSED if "hpcsweep emulator:" in seen else DIFFERENT


def verdicts(places: Path) -> dict[str, tuple[str, str, str]]:
    """Every idiom with its verdict, and what the emulated and the real Slurm answer."""
    first = f"FirstJobId={contract.FIRST_JOB_ID}"
    options = SlurmOptions(min_job_age=600, max_array_size=1001, extra=(first,))
    with PrivateSlurm(options) as real:
        knobs = {
            "cluster_name": real.name,
            "first_job_id": contract.FIRST_JOB_ID,
            "min_job_age_s": 600.0,
            "kill_wait_s": 5.0,
            "account": getpass.getuser(),
            "accounts": (getpass.getuser(),),
        }
        with Emulated(places / "cluster", **knobs) as emulated:
            (real.directory / "idioms").mkdir()
            real_shell = Shell(real.env(), real.directory / "idioms")
            emulated_shell = Shell(emulated.env(), emulated.work)
            by_idiom = {}
            for number, idiom in enumerate(read()):
                answers = emulated_shell.run(number, idiom), real_shell.run(number, idiom)
                by_idiom[idiom] = (compare(*answers), *answers)
    return by_idiom


def table(by_idiom: Mapping[str, tuple[str, str, str]], *, verbose: bool = False) -> str:
    """The verdicts as text."""
    lines = []
    for idiom, (verdict, seen, real) in by_idiom.items():
        lines.append(f"{verdict:<16} {idiom}")
        if verbose and verdict != AS_REAL:
            difference = difflib.unified_diff(
                real.splitlines(), seen.splitlines(), "real", "emulated", lineterm="", n=0
            )
            lines += [f"    {line}" for line in difference]
    counts = Counter(verdict for verdict, _, _ in by_idiom.values())
    total = ", ".join(f"{counts[one]} {one}" for one in (AS_REAL, REFUSED, DIFFERENT))
    return "\n".join([*lines, f"{len(by_idiom)} idioms: {total}"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="hi-", dir="/tmp") as directory:
        sys.stdout.write(table(verdicts(Path(directory)), verbose="-v" in sys.argv) + "\n")
