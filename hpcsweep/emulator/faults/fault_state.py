"""The state of fault injection: chances so far, and current outages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hpcsweep.emulator.arrays import NO_TASK
from hpcsweep.emulator.faults.chance import OF_JOBS, OF_SERVICES, Fault, FaultPlan

# A fault and its delay in seconds.
Strike = tuple[Fault, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionFaults:
    """The faults of one accepted sbatch."""

    # Outages that it starts.
    services: tuple[Strike, ...]
    # Whether sbatch must report a timeout.
    loses_answer: bool


class FaultState:
    """Counts the chances, and keeps the current outages."""

    def __init__(self) -> None:
        # By kind: the end, in seconds since the epoch, and the fault.
        self._away: dict[str, tuple[float, Fault]] = {}
        # Count of chances of each kind of submission fault, by job name.
        self._attempts: Counter[tuple[str, str]] = Counter()

    def outage(self, kind: str, now: float) -> Fault | None:
        """The current outage of a kind; None if there is none."""
        until, fault = self._away.get(kind, (0.0, None))
        return fault if until > now else None

    def start_outage(self, fault: Fault, now: float) -> None:
        """Start an outage now."""
        self._away[fault.kind] = (now + fault.seconds, fault)

    def clear(self) -> None:
        """End all outages."""
        self._away.clear()

    def of_run(self, plan: FaultPlan, name: str, task: int | None, restart: int) -> list[Strike]:
        """The faults of one run of a job."""
        return plan.strikes(OF_JOBS, name, NO_TASK if task is None else task, restart)

    def refuses(self, plan: FaultPlan, name: str) -> bool:
        """Whether this sbatch is refused."""
        attempt = self._next_attempt("refuse", name)
        return bool(plan.strikes(("refuse",), name, NO_TASK, attempt))

    def of_submission(self, plan: FaultPlan, name: str) -> SubmissionFaults:
        """The faults of an sbatch that was accepted."""
        attempt = self._next_attempt("submitted", name)
        services: list[Strike] = []
        for fault in plan.faults:
            for chance in range(fault.times if fault.kind in OF_SERVICES else 0):
                number = attempt * fault.times + chance
                services += plan.strikes((fault.kind,), name, NO_TASK, number)
        lost = plan.strikes(("submit_timeout",), name, NO_TASK, attempt)
        return SubmissionFaults(services=tuple(services), loses_answer=bool(lost))

    def _next_attempt(self, what: str, name: str) -> int:
        attempt = self._attempts[what, name]
        self._attempts[what, name] += 1
        return attempt
