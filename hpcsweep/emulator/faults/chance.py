"""Which faults strike: a pure function of a seed, a job name, a task, an attempt and a kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpcsweep.errors import InputError

# Faults of a job (an array element) that runs.
OF_JOBS = ("node_fail", "preempt", "out_of_memory", "duplicate_start")
# Faults of an sbatch: it is refused, or accepted while sbatch reports a timeout.
OF_SUBMISSIONS = ("refuse", "submit_timeout")
# Outages: the controller is down or slow; sacct fails, or lags behind.
OF_SERVICES = ("controller_down", "controller_slow", "accounting_down", "accounting_late")
KINDS = (*OF_JOBS, *OF_SUBMISSIONS, *OF_SERVICES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of fault in the configuration."""

    kind: str
    # Probability per chance: a run of a job, or an sbatch.
    rate: float
    # Maximum of seconds from the chance to the fault.
    within_s: float = 1.0
    # Seconds of an outage; delay of each answer of a slow service.
    seconds: float = 10.0
    delay_s: float = 2.0
    # Chances for an outage per sbatch.
    times: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"unknown fault {self.kind!r}",
                where="faults",
                next_step=f"The kinds are: {', '.join(KINDS)}.",
            )


def unit(seed: int, name: str, task: int, attempt: int, kind: str) -> float:
    """A number in [0, 1) that depends only on its arguments."""
    import hashlib  # noqa: PLC0415  # loads OpenSSL, which takes a twentieth of each program

    text = f"{seed}\0{name}\0{task}\0{attempt}\0{kind}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / (1 << 56)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPlan:
    """The faults of a configuration."""

    seed: int
    faults: tuple[Fault, ...]
    # A regular expression; the part of a job name that it matches is ignored.
    ignore: str = ""

    def strikes(
        self, kinds: tuple[str, ...], name: str, task: int, attempt: int
    ) -> list[tuple[Fault, float]]:
        """The faults that strike at this chance, each with its delay in seconds."""
        key = re.sub(self.ignore, "", name) if self.ignore else name
        chance = (self.seed, key, task, attempt)
        return [
            (fault, fault.within_s * unit(*chance, f"{fault.kind}/when"))
            for fault in self.faults
            if fault.kind in kinds and unit(*chance, fault.kind) < fault.rate
        ]
