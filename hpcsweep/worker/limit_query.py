"""Ask Slurm how long the task may still run.

Once where neither job nor manifest says so; and again before a task takes no more cases, as an
administrator may have extended the limit.
"""

from __future__ import annotations

from collections.abc import Callable

from hpcsweep.quantities import time_limit_seconds
from hpcsweep.worker.runner import NEVER, Steps, Wait
from hpcsweep.worker.slurm_program import POLL_S, SlurmProgram
from hpcsweep.worker.timelimit import process_age_s

# Seconds from the start of a task to the question, and over how many more the tasks of an array are
# spread by their numbers: short tasks ask nothing, and many do not ask at once.
FIRST_S, SPREAD_S = 60.0, 300.0
# Seconds from one question to the next, and until squeue is given up.
AGAIN_S, TIMEOUT_S = 60.0, 60.0


class LimitQuery:
    """Hands on the seconds from the start of the job to its limit when squeue has answered."""

    def __init__(
        self,
        use: Callable[[float], None],
        clock: Callable[[], float],
        job_id: str,
        task: int,
        *,
        is_known: bool = False,
    ) -> None:
        """`use` gets the limit; `task` is the number of the array task.

        `is_known`: the limit is known already, so it asks only when it is told to.
        """
        self._use, self._clock = use, clock
        # The time left and not the end: it needs neither the cluster's time zone nor its clock.
        self._argv = ["squeue", "--noheader", "--jobs", job_id, "--format", "%L"]
        self._due = NEVER if is_known else self._clock() + FIRST_S + task % SPREAD_S
        # When it was asked last; -infinity before the first time.
        self._queried_at = -NEVER
        self._squeue: SlurmProgram | None = None

    def ask_if_due(self) -> float:
        """Ask once, and read the answer when it is there. Returns when to call this again."""
        if self._clock() < self._due:
            return self._due
        if self._squeue is None:
            self._start()
        self._due = NEVER if self._is_answered() else self._clock() + POLL_S
        return self._due

    def make_due(self) -> None:
        """Let `ask_if_due` ask, unless the last time was within `AGAIN_S`."""
        if self._clock() >= self._queried_at + AGAIN_S:
            self._due = self._clock()

    def ask_again(self) -> Steps[None]:
        """Ask, unless the last time was within `AGAIN_S`, and wait for the answer."""
        if self._squeue is None and self._clock() >= self._queried_at + AGAIN_S:
            self._start()
            self._due = NEVER
        while not self._is_answered():
            yield Wait(until=self._clock() + POLL_S)

    def _start(self) -> None:
        self._queried_at = self._clock()
        self._squeue = SlurmProgram(self._argv, self._clock, TIMEOUT_S)

    def _is_answered(self) -> bool:
        """Whether no answer is awaited; hands on the one that has just come."""
        answer = None if self._squeue is None else self._squeue.answer()
        if answer is not None:
            self._squeue = None
            left_s = time_limit_seconds(answer.stdout)
            if left_s is not None:  # else UNLIMITED, or nothing
                self._use(process_age_s() + left_s)
        return self._squeue is None
