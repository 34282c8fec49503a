"""--time and --signal: the times of a job's warning and of its time limit."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.emulator.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """The deadlines of a run, in seconds since the epoch."""

    # When --signal is sent; None if the job has none.
    warn_at: float | None
    end_at: float


def deadlines(job: Job, time_scale: float) -> Deadlines | None:
    """The deadlines of a running job, from its limit and suspensions; None without a limit."""
    if not job.time_limit or job.state != "RUNNING":
        return None
    end_at = job.started + job.suspended_s + job.time_limit * 60 * time_scale
    lead_s = job.request.signal_lead * time_scale
    warn_at = max(job.started, end_at - lead_s) if job.request.signal else None
    return Deadlines(warn_at=warn_at, end_at=end_at)


def version(job: Job) -> tuple[int, int, float]:
    """The inputs of the deadlines: these are valid while the inputs are unchanged."""
    return job.time_limit, job.restart, job.suspended_s
