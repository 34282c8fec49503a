"""Preemption: a job of a higher partition takes the place of jobs of lower ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpcsweep.emulator.daemon.steps import warn
from hpcsweep.emulator.jobs import Job

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller

WORDS = " DUE TO PREEMPTION"


def make_room(controller: Controller, job: Job) -> None:
    """Preempt what a waiting job needs, on as few nodes as help; youngest jobs first."""
    leaving = [one for one in controller.occupying if _leaves(controller, one)]
    for nodes in [*([name] for name in controller.pool.nodes), list(controller.pool.nodes)]:
        there = [one for one in controller.occupying if set(one.places) & set(nodes)]
        victims = sorted(_victims(controller, job, there), key=lambda one: -one.started)
        chosen: list[Job] = []
        while not controller.pool.place_without(job.request, [*leaving, *chosen]):
            if not victims:
                break
            chosen.append(victims.pop(0))
        else:
            for victim in chosen:
                preempt(controller, victim)
            return


def _leaves(controller: Controller, job: Job) -> bool:
    return job.state == "COMPLETING" or job.id in controller.preempting


def _victims(controller: Controller, job: Job, there: list[Job]) -> Iterator[Job]:
    settings = controller.settings
    tier = settings.tier(job.request.partition)
    for one in there:
        partition = settings.partition(one.request.partition)
        if partition is None or partition.preempt_mode == "OFF" or partition.priority_tier >= tier:
            continue
        if one.state == "RUNNING" and one.id not in controller.preempting:
            yield one


def preempt(controller: Controller, job: Job) -> None:
    """End a job for another one's sake, after the grace of its partition."""
    if job.state != "RUNNING" or job.id in controller.preempting:
        return
    partition = controller.settings.partition(job.request.partition)
    grace = partition.grace_s if partition else 0.0
    controller.preempting.add(job.id)
    if grace and controller.settings.preempt_send_user_signal:
        warn(controller, job)
    run = job.restart

    def end() -> None:
        controller.preempting.discard(job.id)
        if job.restart == run:
            controller.kill(job, "PREEMPTED", "None", WORDS)

    if grace:
        controller.timers.at(time.time() + grace, end)
    else:
        end()


def runs_again(controller: Controller, job: Job) -> bool:
    """Whether a preempted job is queued again."""
    partition = controller.settings.partition(job.request.partition)
    cancels = partition is not None and partition.preempt_mode == "CANCEL"
    return job.request.requeue and not cancels
