"""Cases whose params and metrics must satisfy the manifest's `ok_if`."""

from __future__ import annotations

from collections.abc import Callable

from hpcsweep.conditions.outcome_check import outcome_check
from hpcsweep.logbook.json_values import with_floats
from hpcsweep.records import Reason
from hpcsweep.worker.messages import Request
from hpcsweep.worker.runner import Steps
from hpcsweep.worker.slot import CaseEnd, Slot, worker_error

Execute = Callable[[Slot, Request], Steps[CaseEnd]]


def checked(execute: Execute, ok_if: str) -> Execute:
    """Run a case by `execute`; one that ends without error and breaks `ok_if` failed.

    It keeps its metrics. *Raises* InputError if `ok_if` is no condition.
    """
    problem_of = outcome_check(ok_if)

    def execute_and_check(slot: Slot, request: Request) -> Steps[CaseEnd]:
        ended = yield from execute(slot, request)
        if ended.reason is not None:
            return ended
        problem = problem_of(request.params, with_floats(ended.metrics))
        if problem is None:
            return ended
        return ended._replace(reason=Reason.CHECK, error=worker_error(Reason.CHECK, problem))

    return execute_and_check
