"""Requests of salloc and srun about an allocation without a script: its state, and its end."""

from __future__ import annotations

from typing import Any

from hpcsweep.emulator.daemon import job_environment
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.messages import INVALID_JOB
from hpcsweep.errors import ClusterError


def show(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The state of the allocation, with its variables once it runs."""
    job = controller.table.jobs.get(message["job"])
    if job is None:
        raise ClusterError(INVALID_JOB)
    answer: dict[str, Any] = {"state": job.state, "reason": job.reason}
    if job.state == "RUNNING":
        answer["environment"] = job_environment.environment(
            job, controller.settings, controller.state_dir, {}
        )
    return answer


def end(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Release an allocation; the client's exit code becomes the job's."""
    job = controller.table.jobs.get(message["job"])
    if job is None or job.is_final:
        return {"state": job.state if job else ""}
    code, number = message["code"], message["signal"]
    if job.state == "PENDING":
        controller.cancel_waiting(job, by=job.request.uid)
    elif job.state == "RUNNING":
        failed = bool(code or number)
        reason = "NonZeroExitCode" if failed else "None"
        controller.finish_run(job, "FAILED" if failed else "COMPLETED", reason, code, number)
        controller.log.sync()
    return {"state": job.state}
