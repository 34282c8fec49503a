"""Evaluate --dependency from the states of the jobs that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpcsweep.emulator.dependency_syntax import Dependency, parse
from hpcsweep.emulator.jobs import Job

UNFULFILLED, FULFILLED, FAILED = "unfulfilled", "fulfilled", "failed"


def obstacle(job: Job, jobs: Mapping[int, Job]) -> str:
    """The pending reason of a job with an unfulfilled dependency; empty otherwise."""
    state, _ = state_of_job(job, jobs)
    if state == FULFILLED:
        return ""
    return "DependencyNeverSatisfied" if state == FAILED else "Dependency"


def state_of_job(job: Job, jobs: Mapping[int, Job]) -> tuple[str, str]:
    """The combined state of a job's conditions, and the text of %E."""
    if not job.request.dependency:
        return FULFILLED, ""
    conditions, any_is_enough = parse(job.request.dependency)
    states = [_state_of_condition(condition, job, jobs) for condition in conditions]
    shown = (",?"[any_is_enough]).join(
        f"{_shown(condition, jobs)}({state})"
        for condition, state in zip(conditions, states, strict=True)
        if state != FULFILLED
    )
    if any_is_enough and FULFILLED in states:
        return FULFILLED, ""
    if FAILED in states and not (any_is_enough and UNFULFILLED in states):
        return FAILED, shown
    return (UNFULFILLED if UNFULFILLED in states else FULFILLED), shown


def ready_task(job: Job, jobs: Mapping[int, Job]) -> int:
    """The first pending element that may start; -1 if there is none."""
    if "aftercorr" not in job.request.dependency:
        return job.waiting[0] if job.waiting else -1
    conditions = [
        condition for condition in parse(job.request.dependency)[0] if condition.kind == "aftercorr"
    ]
    for task in job.waiting:
        if all(
            _state_of_counterpart(condition, task, jobs) == FULFILLED for condition in conditions
        ):
            return task
    return -1


def _targets(condition: Dependency, jobs: Iterable[Job]) -> list[Job]:
    named = [job for job in jobs if condition.job in (job.id, job.request.id)]
    if condition.task is not None:
        return [job for job in named if job.task == condition.task or condition.task in job.waiting]
    return named


def _state_of_condition(condition: Dependency, job: Job, jobs: Mapping[int, Job]) -> str:
    """The state of one condition. Like in Slurm, a job that is not in memory fulfils it."""
    if condition.kind == "singleton":
        own = job.request
        for other in jobs.values():
            theirs = other.request
            same = theirs.name == own.name and theirs.uid == own.uid and theirs.id < own.id
            if same and not other.is_final:
                return UNFULFILLED
        return FULFILLED
    if condition.kind == "aftercorr" and job.request.array:
        tasks = job.waiting if job.task is None else [job.task]
        return _best_state([_state_of_counterpart(condition, task, jobs) for task in tasks])
    targets = _targets(condition, jobs.values())
    if condition.kind == "after":
        waits = any(target.state == "PENDING" for target in targets)
        return UNFULFILLED if waits else FULFILLED
    good = [target.state == "COMPLETED" for target in targets if target.is_final]
    if condition.kind in ("afterok", "aftercorr") and not all(good):
        return FAILED
    if len(good) < len(targets):
        return UNFULFILLED
    if condition.kind == "afternotok" and targets and all(good):
        return FAILED
    return FULFILLED


def _best_state(states: list[str]) -> str:
    """The state of an array: fulfilled if one element is, else unfulfilled if one is."""
    return next((state for state in (FULFILLED, UNFULFILLED) if state in states), FAILED)


def _state_of_counterpart(condition: Dependency, task: int, jobs: Mapping[int, Job]) -> str:
    """aftercorr: the state of the element with the same task id in the other array.

    Without such an element the dependency is never satisfied.
    """
    others = [other for other in jobs.values() if other.request.id == condition.job]
    for other in others:
        if other.task == task or task in other.waiting:
            if not other.is_final:
                return UNFULFILLED
            return FULFILLED if other.state == "COMPLETED" else FAILED
    return FAILED if others else FULFILLED


def _shown(condition: Dependency, jobs: Mapping[int, Job]) -> str:
    """The condition in the format of %E, without its state."""
    if condition.kind == "singleton":
        return condition.kind
    if condition.task is not None:
        return f"{condition.kind}:{condition.job}_{condition.task}"
    is_array = any(
        other.request.array for other in jobs.values() if other.request.id == condition.job
    )
    return (
        f"{condition.kind}:{condition.job}_*" if is_array else f"{condition.kind}:{condition.job}"
    )
