"""What salloc and srun ask about an allocation without a script: its state, and its end."""

from __future__ import annotations

from typing import Any

from hpcsweep.emulator.daemon import job_environment
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.messages import INVALID_JOB
from hpcsweep.errors import ClusterError


def show(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The state of the allocation, and once it runs, its variables."""
    job = controller.table.jobs.get(asked["job"])
    if job is None:
        raise ClusterError(INVALID_JOB)
    answer: dict[str, Any] = {"state": job.state, "reason": job.reason}
    if job.state == "RUNNING":
        answer["environment"] = job_environment.environment(
            job, controller.settings, controller.state_dir, {}
        )
    return answer


def end(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Give back the allocation of a client that is done; its exit code is the job's."""
    job = controller.table.jobs.get(asked["job"])
    if job is None or job.is_final:
        return {"state": job.state if job else ""}
    code, number = asked["code"], asked["signal"]
    if job.state == "PENDING":
        controller.cancel_waiting(job, by=job.request.uid)
    elif job.state == "RUNNING":
        failed = bool(code or number)
        reason = "NonZeroExitCode" if failed else "None"
        controller.finish_run(job, "FAILED" if failed else "COMPLETED", reason, code, number)
        controller.log.sync()
    return {"state": job.state}
