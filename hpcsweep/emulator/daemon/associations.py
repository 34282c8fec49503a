"""Accounts, QOS and their limits: who may submit and start how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsweep.emulator.config import EmulatorConfig, Qos
from hpcsweep.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsweep.emulator.daemon.controller import Controller
    from hpcsweep.emulator.jobs import Job, Request

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


def check_names(settings: EmulatorConfig, wanted: dict[str, Any]) -> None:
    """Where accounts or QOS are configured, others are refused. *Raises* ClusterError."""
    account = wanted["account"] or settings.account
    if settings.strict and settings.accounts and account not in settings.accounts:
        raise ClusterError("Invalid account or account/partition combination specified")
    qos = wanted["qos"] or settings.default_qos
    if settings.strict and settings.qos and qos not in _by_name(settings):
        raise ClusterError("Invalid qos specification")


def check_submit(controller: Controller, wanted: dict[str, Any], elements: int) -> None:
    """Submit limits count elements and refuse an array as a whole. *Raises* ClusterError."""
    settings = controller.settings
    qos = _by_name(settings).get(wanted["qos"] or settings.default_qos)

    def count(fits: Callable[[Request], bool]) -> int:
        return sum(job.elements for job in controller.live.values() if fits(job.request))

    if qos is not None and qos.max_submit_per_user:
        mine = count(lambda one: one.qos == qos.name and one.uid == wanted["uid"])
        if mine + elements > qos.max_submit_per_user:
            raise ClusterError(POLICY, where="QOSMaxSubmitJobPerUserLimit")
    if settings.max_submit_jobs:
        mine = count(lambda one: one.uid == wanted["uid"])
        if mine + elements > settings.max_submit_jobs:
            raise ClusterError(POLICY, where="AssocMaxSubmitJobLimit")


def obstacle(settings: EmulatorConfig, job: Job, running: list[Job]) -> str:
    """Why limits do not let a job start; `running` are those that occupy nodes."""
    request = job.request
    qos = _by_name(settings).get(request.qos)
    mine = [one.request for one in running if one.request.uid == request.uid]
    if qos is not None:
        if qos.max_wall and not 0 < job.time_limit <= qos.max_wall:
            return "QOSMaxWallDurationPerJobLimit"
        count = sum(one.qos == qos.name for one in mine)
        if qos.max_jobs_per_user and count >= qos.max_jobs_per_user:
            return "QOSMaxJobsPerUserLimit"
    if settings.max_jobs and len(mine) >= settings.max_jobs:
        return "AssocMaxJobsLimit"
    return ""


def _by_name(settings: EmulatorConfig) -> dict[str, Qos]:
    return {one.name: one for one in settings.qos}
