"""Accounts, QOS and their limits on submitted and running jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hpcsweep.emulator.config import EmulatorConfig, Qos
from hpcsweep.emulator.jobs import Job, JobRequest
from hpcsweep.errors import ClusterError

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


def check_names(settings: EmulatorConfig, account: str, qos: str) -> None:
    """Refuse accounts and QOS that a strict cluster does not list. *Raises* ClusterError."""
    account, qos = account or settings.account, qos or settings.default_qos
    if settings.strict and settings.accounts and account not in settings.accounts:
        raise ClusterError("Invalid account or account/partition combination specified")
    if settings.strict and settings.qos and qos not in _qos_by_name(settings):
        raise ClusterError("Invalid qos specification")


def submit_obstacle(
    settings: EmulatorConfig, live: Iterable[Job], uid: int, qos_name: str, elements: int
) -> str:
    """The limit that a submission of so many elements would exceed; empty if none.

    Submit limits count elements, and refuse an array as a whole. That of a QOS counts in place of
    the association's (22.05).
    """
    qos = _qos_by_name(settings).get(qos_name or settings.default_qos)

    def count(is_counted: Callable[[JobRequest], bool]) -> int:
        return elements + sum(job.elements for job in live if is_counted(job.request))

    if qos is not None and qos.max_submit_per_user:
        own = count(lambda other: other.qos == qos.name and other.uid == uid)
        return "QOSMaxSubmitJobPerUserLimit" if own > qos.max_submit_per_user else ""
    if (
        settings.max_submit_jobs
        and count(lambda other: other.uid == uid) > settings.max_submit_jobs
    ):
        return "AssocMaxSubmitJobLimit"
    return ""


def start_obstacle(settings: EmulatorConfig, job: Job, occupying: list[Job]) -> str:
    """The limit that keeps a job from starting; `occupying`: the jobs that have nodes."""
    request = job.request
    qos = _qos_by_name(settings).get(request.qos)
    own = [other.request for other in occupying if other.request.uid == request.uid]
    if qos is not None:
        if qos.max_wall and not 0 < job.time_limit <= qos.max_wall:
            return "QOSMaxWallDurationPerJobLimit"
        count = sum(other.qos == qos.name for other in own)
        if qos.max_jobs_per_user and count >= qos.max_jobs_per_user:
            return "QOSMaxJobsPerUserLimit"
    if settings.max_jobs and len(own) >= settings.max_jobs:
        return "AssocMaxJobsLimit"
    return ""


def _qos_by_name(settings: EmulatorConfig) -> dict[str, Qos]:
    return {qos.name: qos for qos in settings.qos}
