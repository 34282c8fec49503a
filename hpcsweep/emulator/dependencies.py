"""--dependency: reading it, and whether it lets a job start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpcsweep.emulator.jobs import Job
from hpcsweep.errors import InputError

KINDS = ("after", "afterany", "afterok", "afternotok", "aftercorr")
# Real, and refused by name.
NOT_EMULATED = ("afterburstbuffer", "expand")

UNFULFILLED, FULFILLED, FAILED = "unfulfilled", "fulfilled", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """One condition."""

    kind: str
    # 0 for `singleton`.
    job: int = 0
    task: int | None = None

    def show(self, jobs: Mapping[int, Job]) -> str:
        """As %E shows it, without the state."""
        if self.kind == "singleton":
            return self.kind
        if self.task is not None:
            return f"{self.kind}:{self.job}_{self.task}"
        whole = any(one.request.array for one in jobs.values() if one.request.id == self.job)
        return f"{self.kind}:{self.job}_*" if whole else f"{self.kind}:{self.job}"


def parse(text: str) -> tuple[list[Dependency], bool]:
    """The conditions and whether any one of them is enough.

    *Raises* InputError.
    """
    found: list[Dependency] = []
    for part in filter(None, re.split(r"[,?]", text)):
        kind, *ids = part.split(":")
        if kind == "singleton" and not ids:
            found.append(Dependency(kind=kind))
            continue
        if kind not in KINDS or not ids:
            raise InputError("Job dependency problem", where=text)
        for one in ids:
            match = re.fullmatch(r"(\d+)(?:_(\d+|\*))?(?:\+\d+)?", one)
            if match is None:
                raise InputError("Job dependency problem", where=text)
            task = int(match[2]) if match[2] and match[2] != "*" else None
            found.append(Dependency(kind=kind, job=int(match[1]), task=task))
    return found, "?" in text


def _targets(one: Dependency, jobs: Iterable[Job]) -> list[Job]:
    found = [job for job in jobs if one.job in (job.id, job.request.id)]
    if one.task is not None:
        return [job for job in found if job.task == one.task or one.task in job.waiting]
    return found


def state_of(one: Dependency, job: Job, jobs: Mapping[int, Job]) -> str:
    """One condition's state. A job that is not known (any more) is no obstacle, as in Slurm."""
    if one.kind == "singleton":
        mine = job.request
        for other in jobs.values():
            theirs = other.request
            same = theirs.name == mine.name and theirs.uid == mine.uid and theirs.id < mine.id
            if same and not other.is_final:
                return UNFULFILLED
        return FULFILLED
    if one.kind == "aftercorr" and job.request.array:
        tasks = job.waiting if job.task is None else [job.task]
        return _best([_corresponding(one, task, jobs) for task in tasks])
    targets = _targets(one, jobs.values())
    if one.kind == "after":
        waits = any(target.state == "PENDING" for target in targets)
        return UNFULFILLED if waits else FULFILLED
    good = [target.state == "COMPLETED" for target in targets if target.is_final]
    if one.kind in ("afterok", "aftercorr") and not all(good):
        return FAILED
    if len(good) < len(targets):
        return UNFULFILLED
    if one.kind == "afternotok" and targets and all(good):
        return FAILED
    return FULFILLED


def _best(states: list[str]) -> str:
    """Of an array's elements: one that may start is enough, and one that may do so later."""
    return next((one for one in (FULFILLED, UNFULFILLED) if one in states), FAILED)


def _corresponding(one: Dependency, task: int, jobs: Mapping[int, Job]) -> str:
    """aftercorr: the element of the same task id in the other array; none such never ends well."""
    others = [other for other in jobs.values() if other.request.id == one.job]
    for other in others:
        if other.task == task or task in other.waiting:
            if not other.is_final:
                return UNFULFILLED
            return FULFILLED if other.state == "COMPLETED" else FAILED
    return FAILED if others else FULFILLED


def ready_task(job: Job, jobs: Mapping[int, Job]) -> int:
    """The first waiting element that may start; -1 where no element waits."""
    if "aftercorr" not in job.request.dependency:
        return job.waiting[0] if job.waiting else -1
    conditions = [one for one in parse(job.request.dependency)[0] if one.kind == "aftercorr"]
    for task in job.waiting:
        if all(_corresponding(one, task, jobs) == FULFILLED for one in conditions):
            return task
    return -1


def state(job: Job, jobs: Mapping[int, Job]) -> tuple[str, str]:
    """The state of all conditions of a job, and the text that %E shows."""
    if not job.request.dependency:
        return FULFILLED, ""
    conditions, any_is_enough = parse(job.request.dependency)
    states = [state_of(one, job, jobs) for one in conditions]
    shown = (",?"[any_is_enough]).join(
        f"{one.show(jobs)}({state})"
        for one, state in zip(conditions, states, strict=True)
        if state != FULFILLED
    )
    if any_is_enough and FULFILLED in states:
        return FULFILLED, ""
    if FAILED in states and not (any_is_enough and UNFULFILLED in states):
        return FAILED, shown
    return (UNFULFILLED if UNFULFILLED in states else FULFILLED), shown
