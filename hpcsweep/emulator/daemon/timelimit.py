"""--time and --signal: the times of a job's warning and of its time limit."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """The deadlines of a run, in seconds since the epoch."""

    # When --signal is sent; None if the job has none.
    warn_at: float | None
    end_at: float


def limit_s(job: Job, settings: EmulatorConfig) -> float:
    """Real seconds that a job may run; 0 without a limit."""
    return job.time_limit * 60 * settings.time_scale


def limit_at(job: Job, settings: EmulatorConfig) -> float:
    """When a job has run for its limit; 0 if it has none, or has not started."""
    if not job.started or not job.time_limit:
        return 0
    return job.started + job.suspended_s + limit_s(job, settings)


def deadlines(job: Job, settings: EmulatorConfig) -> Deadlines | None:
    """The deadlines of a running job, from its limit and suspensions; None without a limit."""
    if not job.time_limit or job.state != "RUNNING":
        return None
    at, scale = limit_at(job, settings), settings.time_scale
    warn_at = max(job.started, at - job.request.signal_lead * scale) if job.request.signal else None
    return Deadlines(warn_at=warn_at, end_at=at + settings.over_time_limit * 60 * scale)


def version(job: Job) -> tuple[int, int, float]:
    """The inputs of the deadlines: these are valid while the inputs are unchanged."""
    return job.time_limit, job.restart, job.suspended_s
