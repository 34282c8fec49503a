"""The state that an event log describes, for the recovery of the scheduler and for sacct."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

from hpcsweep.emulator import arrays
from hpcsweep.emulator.jobs import LOGGED, Job, JobRequest

# Checks of JSON values, by the type of a field of a request or a job.
_HOLDS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int),
    "int | None": lambda value: value is None or isinstance(value, int),
    "float": lambda value: isinstance(value, int | float),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "tuple[str, ...]": lambda value: all(isinstance(one, str) for one in value),
    "dict[str, int]": lambda value: all(isinstance(one, int) for one in value.values()),
    "dict[str, list[int]]": lambda value: all(
        isinstance(one, int) for numbers in value.values() for one in numbers
    ),
    "deque[int]": lambda _: False,
    "JobRequest": lambda _: False,
}


def _checked(kind: type[JobRequest | Job], values: dict[str, Any]) -> dict[str, Any]:
    """The values. *Raises* TypeError, AttributeError for one of another type than its field."""
    for field in dataclasses.fields(kind):
        if field.name in values and not _HOLDS[str(field.type)](values[field.name]):
            raise TypeError(field.name)
    return values


class LoggedState:
    """All requests, jobs, steps and nodes in an event log."""

    def __init__(self) -> None:
        self.requests: dict[int, JobRequest] = {}
        # The current run of every job, by job id.
        self.jobs: dict[int, Job] = {}
        # Every run and the time of its last event, by (job id, restart count). Earlier runs are for
        # accounting only.
        self.runs: dict[tuple[int, int], tuple[Job, float]] = {}
        # The steps of every run, by number.
        self.steps: dict[tuple[int, int], dict[int, dict[str, Any]]] = {}
        # Nodes that are not up, with the reason.
        self.nodes: dict[str, str] = {}
        self.last_id = 0
        # The boot id of the machine when the last scheduler started.
        self.boot_id = ""

    def apply(self, event: dict[str, Any]) -> None:
        """Apply one event of the log; skip one that no scheduler has written."""
        # A damaged line loses only its own event.
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        kind = event["e"]
        if kind == "request":
            fields = _checked(JobRequest, event["request"])
            request = JobRequest(**fields | {"arguments": tuple(fields["arguments"])})
            self.requests[request.id] = request
            self.last_id = max(self.last_id, request.id)
        elif kind == "job":
            self._apply_job(event)
        elif kind == "drop":
            dropped = set(arrays.parse_array(event["tasks"], arrays.ANY_ID))
            job = self.jobs[event["id"]]
            job.waiting = deque(task for task in job.waiting if task not in dropped)
        elif kind == "step":
            steps = self.steps.setdefault((event["id"], event["restart"]), {})
            steps.setdefault(event["step"], {"started": event["at"]}).update(event)
        elif kind == "node":
            self.nodes.pop(event["name"], None)
            if event["down"]:
                self.nodes[event["name"]] = event["down"]
        elif kind == "start":
            self.last_id = max(self.last_id, event["last_id"])
            self.boot_id = event["boot_id"]

    def _apply_job(self, event: dict[str, Any]) -> None:
        request = self.requests[event["request"]]
        values = {name: event[name] for name in LOGGED if name in event}
        job = Job(request=request, **_checked(Job, values))
        before = self.jobs.get(job.id)
        if job.is_remainder:
            ids = arrays.parse_array(request.array, arrays.ANY_ID) if before is None else ()
            job.waiting = before.waiting if before else deque(ids)
        elif job.task is not None and (before is None or before.is_remainder):
            remainder = self.jobs.get(request.id)
            if remainder is not None and remainder.is_remainder:
                with contextlib.suppress(ValueError):
                    remainder.waiting.remove(job.task)
        self.jobs[job.id] = job
        self.runs[job.id, job.restart] = (job, event["at"])
        self.last_id = max(self.last_id, job.id)
