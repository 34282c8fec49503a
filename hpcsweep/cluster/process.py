"""The one place that starts Slurm's programs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcsweep.errors import ClusterError, ClusterUnavailable

# Variables that would change what the programs print or do behind our back.
_MISLEADING = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SBATCH_")
# A user's defaults for what the manifest may leave open.
_WELCOME = frozenset({"SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION"})
# What tells the programs which cluster to talk to; other SLURM_ variables are those of a job in
# which hpcsweep itself runs, and would leak into the jobs that it submits.
_WHICH_CLUSTER = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER"})


_PREFIX = re.compile(r"s[a-z]+: (error|fatal): ")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program printed."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Its complaint in one line, without the `program: error:` of each of its lines."""
        lines = [_PREFIX.sub("", line.strip()) for line in self.stderr.splitlines() if line.strip()]
        return "; ".join(lines)[:500] or f"exit code {self.returncode}"


def clean_environment(extra: Mapping[str, str], directives: frozenset[str]) -> dict[str, str]:
    """The environment for Slurm's programs.

    `directives` are the sbatch options that the script sets: an environment variable would win
    over the script (Slurm's precedence is command line, environment, `#SBATCH`).
    """
    kept = {}
    for name, value in os.environ.items():
        if name.startswith("SLURM_") and name not in _WHICH_CLUSTER:
            continue
        if name.startswith(_MISLEADING):
            option = name.removeprefix("SBATCH_").lower()
            if name not in _WELCOME or option in directives:
                continue
        kept[name] = value
    # The whole of a long sparse array instead of 31 or 64 characters of it.
    return kept | {"SLURM_BITSTR_LEN": "0"} | dict(extra)


def pointed_at(environment: Mapping[str, str]) -> str:
    """What of an environment says which cluster its programs ask."""
    return " ".join(environment.get(name, "") for name in sorted(_WHICH_CLUSTER))


def ask(
    argv: Sequence[str], environment: Mapping[str, str], timeout_s: float, *, apart: bool = False
) -> Answer:
    """Run one program to its end; `apart` from our terminal, whose Ctrl-C it does not get then.

    *Raises* ClusterUnavailable when it does not answer in time, ClusterError when there is no
    such program.
    """
    try:
        done = subprocess.run(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            start_new_session=apart,
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"there is no {argv[0]} on PATH",
            next_step="Run this where Slurm is installed, or use --cluster emulated.",
        ) from error
    except OSError as error:
        raise ClusterError(
            f"{argv[0]} cannot be run: {error.strerror}",
            next_step="Look at this file: it is the first of its name on PATH.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterUnavailable(
            f"{argv[0]} did not answer within {timeout_s:g} s",
            next_step="Try again later; the settings command_timeout_s and sbatch_timeout_s are "
            "how long to wait.",
        ) from error
    return Answer(done.returncode, done.stdout, done.stderr)
