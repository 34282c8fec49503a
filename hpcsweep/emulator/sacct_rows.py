"""The rows of accounting: what is known of a job, its batch step, and the phantoms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hpcsweep.emulator import arrays, times, who
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Book, Job

# id, base, task, step, state, ended, eligible; `shown` has the texts by field, `job` the job's.
Row = dict[str, Any]
_NO_STEPS: Mapping[int, dict[str, Any]] = MappingProxyType({})

# The fields of 22.05.8.
_ALL = """
Account AdminComment AllocCPUS AllocNodes AllocTRES AssocID AveCPU AveCPUFreq AveDiskRead
AveDiskWrite AvePages AveRSS AveVMSize BlockID Cluster Comment Constraints ConsumedEnergy
ConsumedEnergyRaw Container CPUTime CPUTimeRAW DBIndex DerivedExitCode Elapsed ElapsedRaw Eligible
End ExitCode Flags GID Group JobID JobIDRaw JobName Layout MaxDiskRead MaxDiskReadNode
MaxDiskReadTask MaxDiskWrite MaxDiskWriteNode MaxDiskWriteTask MaxPages MaxPagesNode MaxPagesTask
MaxRSS MaxRSSNode MaxRSSTask MaxVMSize MaxVMSizeNode MaxVMSizeTask McsLabel MinCPU MinCPUNode
MinCPUTask NCPUS NNodes NodeList NTasks Partition Priority QOS QOSRAW Reason ReqCPUFreq
ReqCPUFreqGov ReqCPUFreqMax ReqCPUFreqMin ReqCPUS ReqMem ReqNodes ReqTRES Reservation ReservationId
Reserved ResvCPU ResvCPURAW Start State Submit SubmitLine Suspended SystemComment SystemCPU
Timelimit TimelimitRaw TotalCPU TRESUsageInAve TRESUsageInMax TRESUsageInMaxNode
TRESUsageInMaxTask TRESUsageInMin TRESUsageInMinNode TRESUsageInMinTask TRESUsageInTot
TRESUsageOutAve TRESUsageOutMax TRESUsageOutMaxNode TRESUsageOutMaxTask TRESUsageOutMin
TRESUsageOutMinNode TRESUsageOutMinTask TRESUsageOutTot UID User UserCPU WCKey WCKeyID WorkDir
"""
KNOWN = {name.lower(): name for name in _ALL.split()}

# Those that are emulated, with their widths; negative: padded on the right.
FIELDS = {
    "account": 10,
    "alloccpus": 10,
    "allocnodes": 10,
    "alloctres": 10,
    "cluster": 10,
    "comment": 14,
    "derivedexitcode": 15,
    "elapsed": 10,
    "elapsedraw": 10,
    "eligible": 19,
    "end": 19,
    "exitcode": 8,
    "group": 9,
    "jobid": -12,
    "jobidraw": -12,
    "jobname": 10,
    "maxrss": 10,
    "ncpus": 10,
    "nnodes": 8,
    "nodelist": 15,
    "ntasks": 8,
    "partition": 10,
    "priority": 10,
    "qos": 10,
    "reason": 22,
    "reqcpus": 8,
    "reqmem": 10,
    "reqnodes": 8,
    "start": 19,
    "state": 10,
    "submit": 19,
    "submitline": 20,
    "timelimit": 10,
    "timelimitraw": 10,
    "uid": 6,
    "user": 9,
    "workdir": 20,
}


def _exit_code(code: int, number: int) -> str:
    """Slurm 22.05's accounting subtracts 128 from every exit code that is not below it."""
    return f"{code - 128 if code >= 128 else code}:{number}"


def _state(job: Job) -> str:
    if job.state == "COMPLETING":
        return job.ending
    if job.state == "CANCELLED" and job.cancelled_by >= 0:
        return f"CANCELLED by {job.cancelled_by}"
    return job.state


def _job_id(job: Job) -> str:
    base = job.request.id
    if job.task is not None:
        return f"{base}_{job.task}"
    if not job.is_remainder:
        return str(base)
    limit = f"%{job.throttle}" if job.throttle else ""
    return f"{base}_[{arrays.format_tasks(job.waiting)}{limit}]"


def _eligible(job: Job) -> float:
    """Since when it may start; 0 for a job that is or was held until its end."""
    return 0 if job.held and not job.started else job.begin or job.submitted


def _times(started: float, ended: float) -> dict[str, str]:
    seconds = (ended or time.time()) - started if started else 0
    return {
        "start": times.stamp(started, "Unknown"),
        "end": times.stamp(ended, "Unknown"),
        "elapsed": times.elapsed_long(seconds),
        "elapsedraw": str(int(seconds)),
    }


def job_row(
    job: Job, settings: EmulatorConfig, steps: Mapping[int, dict[str, Any]] = _NO_STEPS
) -> Row:
    """The row of a job, an element, or an array's remainder."""
    request, cpus = job.request, str(job.request.cpus)
    allocated = bool(job.node)
    shown = {
        "account": request.account,
        "alloccpus": cpus if allocated else "0",
        "allocnodes": "1" if allocated else "0",
        "alloctres": f"billing={cpus},cpu={cpus},node=1" if allocated else "",
        "cluster": settings.cluster_name,
        # Kept only with AccountingStoreFlags=job_comment.
        "comment": "",
        "derivedexitcode": f"{max((one.get('code', 0) for one in steps.values()), default=0)}:0",
        "eligible": times.stamp(_eligible(job), "Unknown"),
        "exitcode": _exit_code(job.exit_code, job.exit_signal),
        "group": who.group_name(request.gid),
        "jobid": _job_id(job),
        "jobidraw": str(job.id),
        "jobname": request.name,
        "ncpus": cpus if allocated else "0",
        "nnodes": "1",
        "nodelist": job.node or "None assigned",
        "partition": request.partition,
        "priority": str(job.priority),
        "qos": request.qos,
        "reason": job.waited_for,
        "reqcpus": cpus,
        "reqmem": _size(request.memory or settings.mem_mb),
        "reqnodes": "1",
        "state": _state(job),
        "submit": times.stamp(job.submitted, "Unknown"),
        "submitline": request.submit_line,
        "timelimit": _limit(job.time_limit),
        "timelimitraw": str(job.time_limit or "UNLIMITED"),
        "uid": str(request.uid),
        "user": request.user,
        "workdir": request.work_dir,
    }
    shown |= _times(job.started, job.ended)
    if job.is_final and not job.started:
        # Cancelled while waiting: `None`, but a job that was held had no row before its end.
        shown["start"] = shown["end"] if job.held else "None"
    return _row(job, "", shown, shown)


def _size(megabytes: int) -> str:
    return f"{megabytes // 1024}G" if megabytes % 1024 == 0 else f"{megabytes}M"


def _limit(minutes: int) -> str:
    return times.elapsed_long(minutes * 60) if minutes else "UNLIMITED"


def step_row(job: Job) -> Row:
    """The row of the batch step."""
    cpus = str(job.request.cpus)
    is_over = bool(job.batch_state)
    exit_code = _exit_code(job.batch_code, job.batch_signal)
    shown = {
        "account": job.request.account,
        "alloccpus": cpus,
        "allocnodes": "1",
        "alloctres": f"cpu={cpus},mem=0,node=1",
        "exitcode": "" if job.state == "NODE_FAIL" else exit_code,
        "jobid": f"{_job_id(job)}.batch",
        "jobidraw": f"{job.id}.batch",
        "jobname": "batch",
        "ncpus": cpus,
        "nnodes": "1",
        "nodelist": job.node,
        "ntasks": "1",
        "reqcpus": cpus,
        "state": job.batch_state or "RUNNING",
        "submit": times.stamp(job.started, "Unknown"),
        "eligible": times.stamp(job.started, "Unknown"),
    }
    shown |= _times(job.started, (job.batch_ended or job.ended) if is_over else 0)
    whole = {"jobname": job.request.name, "partition": job.request.partition}
    whole |= {"user": job.request.user, "uid": str(job.request.uid), "account": job.request.account}
    return _row(job, "batch", shown, whole)


def srun_row(job: Job, step: dict[str, Any]) -> Row:
    """The row of a step that srun made."""
    found = step_row(job)
    ended = step.get("ended") or (job.ended if job.is_final else 0)
    state = "RUNNING"
    if "ended" in step:
        state = "CANCELLED" if step["signal"] else "FAILED" if step["code"] else "COMPLETED"
    elif job.is_final:
        state = "CANCELLED"
    started = times.stamp(step["started"], "Unknown")
    shown = found["shown"] | _times(step["started"], ended)
    shown |= {
        "jobid": f"{_job_id(job)}.{step['step']}",
        "jobidraw": f"{job.id}.{step['step']}",
        "jobname": step["name"],
        "ntasks": str(step["ntasks"]),
        "state": state,
        "exitcode": _exit_code(step.get("code", 0), step.get("signal", 0)),
        "submit": started,
        "eligible": started,
    }
    return _row(job, str(step["step"]), shown, found["job"])


def _row(job: Job, step: str, shown: dict[str, str], whole: dict[str, str]) -> Row:
    return {
        "id": job.id,
        "base": job.request.id,
        "task": job.task,
        "step": step,
        "state": shown["state"],
        "ended": job.ended,
        "eligible": _eligible(job),
        "shown": shown,
        "job": whole,
    }


def phantom_rows(book: Book, late: list[dict[str, Any]]) -> list[Row]:
    """What Slurm shows of a job whose start accounting has not digested.

    A row by raw id, named `allocation`, PENDING while it runs (22.05.8).
    """
    newest = {event["id"]: event for event in late if event.get("started")}
    rows: list[Row] = []
    for job_id, event in newest.items():
        seen = book.jobs.get(job_id)
        if seen is not None and seen.started:
            continue
        fresh = Book()
        fresh.requests = book.requests
        fresh.apply(event)
        job = fresh.jobs[job_id]
        batch = step_row(job)
        batch["shown"] |= {"jobid": f"{job.id}.batch"}
        shown = {key: batch["shown"][key] for key in ("start", "end", "elapsed", "elapsedraw")}
        shown |= {
            "jobid": str(job.id),
            "jobidraw": str(job.id),
            "jobname": "allocation",
            "state": _state(job) if job.is_final else "PENDING",
            "exitcode": _exit_code(job.exit_code, job.exit_signal),
            "derivedexitcode": "0:0",
            "reason": "None",
            "reqmem": "16?",
            "nodelist": job.node,
            "partition": job.request.partition,
            "user": job.request.user,
            "uid": str(job.request.uid),
            "account": job.request.account,
            "allocnodes": "1",
            "alloccpus": str(job.request.cpus),
        }
        rows.append(_row(job, "", shown, shown))
        rows.append(batch)
        for row in rows[-2:]:
            row["base"], row["task"] = job.id, None  # not known as an element yet
    return rows
