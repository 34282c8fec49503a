"""Which faults strike: a pure function of a seed, a job name, a task, an attempt and a kind."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from hpcsweep.errors import InputError

# Faults of a job (an array element) that runs.
OF_JOBS = ("node_fail", "preempt", "out_of_memory", "duplicate_start")
# Faults of an sbatch: it is refused, or accepted while sbatch says that the answer timed out.
OF_SUBMISSIONS = ("refuse", "submit_timeout")
# Faults that last: the controller is away or slow; sacct fails, or knows nothing new.
OF_SERVICES = ("controller_down", "controller_slow", "accounting_down", "accounting_late")
KINDS = (*OF_JOBS, *OF_SUBMISSIONS, *OF_SERVICES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of fault in the configuration."""

    kind: str
    # Share of the chances that are taken: job runs, or sbatches.
    rate: float
    # Seconds from the chance to the fault, at most.
    within_s: float = 1.0
    # How long a service is away; how late each of its answers is.
    seconds: float = 10.0
    delay_s: float = 2.0
    # Chances that one sbatch gives to a service's fault.
    times: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"unknown fault {self.kind!r}",
                where="faults",
                next_step=f"The kinds are: {', '.join(KINDS)}.",
            )


def unit(seed: int, name: str, task: int, attempt: int, kind: str) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    text = f"{seed}\0{name}\0{task}\0{attempt}\0{kind}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / (1 << 56)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The faults of a configuration."""

    seed: int
    faults: tuple[Fault, ...]
    # A regular expression: what it matches in a job name does not count.
    ignore: str = ""

    def strikes(
        self, kinds: tuple[str, ...], name: str, task: int, attempt: int
    ) -> list[tuple[Fault, float]]:
        """The faults that strike this chance, and after how many seconds."""
        known = re.sub(self.ignore, "", name) if self.ignore else name
        chance = (self.seed, known, task, attempt)
        return [
            (one, one.within_s * unit(*chance, f"{one.kind}/when"))
            for one in self.faults
            if one.kind in kinds and unit(*chance, one.kind) < one.rate
        ]
