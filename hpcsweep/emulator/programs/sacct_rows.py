"""The rows of accounting: jobs, batch steps, steps of srun, and phantoms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hpcsweep.emulator import arrays, hostlist, identity, times
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.emulator.programs import options

# id, base, task, step, state, ended, eligible; `shown`: texts by field; `job`: those of the job.
SacctRow = dict[str, Any]
_NO_STEPS: Mapping[int, dict[str, Any]] = MappingProxyType({})


def _exit_code(code: int, number: int) -> str:
    """Accounting's exit code: before 25.11 less 128 for codes of 128 and more."""
    subtracts = code >= 128 and not options.version().since("26.05")
    return f"{code - 128 if subtracts else code}:{number}"


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
    """The earliest start time; 0 for a job that is held or was held until its end."""
    return 0 if job.held and not job.started else job.begin or job.submitted


def _times(started: float, ended: float, cpus: int, pause: float = 0) -> dict[str, str]:
    """`pause`: seconds of suspension."""
    seconds = int((ended or time.time()) - started - pause) if started else 0
    return {
        "start": times.stamp(started, "Unknown"),
        "end": times.stamp(ended, "Unknown"),
        "elapsed": times.elapsed_long(seconds),
        "elapsedraw": str(seconds),
        "suspended": times.elapsed_long(pause),
        "cputime": times.elapsed_long(seconds * cpus),
        "cputimeraw": str(seconds * cpus),
    }


def _used(user_s: float, system_s: float) -> dict[str, str]:
    """The fields of processor time."""
    return {
        "usercpu": times.cpu_time(user_s),
        "systemcpu": times.cpu_time(system_s),
        "totalcpu": times.cpu_time(user_s + system_s),
    }


def _reserved(job: Job) -> dict[str, str]:
    """The fields of the time that an eligible job waited."""
    until = job.started or (time.time() if job.state == "PENDING" else 0)
    seconds = max(0, int(until) - int(_eligible(job))) if until and _eligible(job) else 0
    cpus = job.request.cpus
    waited, cpu_time = times.elapsed_long(seconds), times.elapsed_long(seconds * cpus)
    raw = str(seconds * cpus)
    before = {"reserved": waited, "resvcpu": cpu_time, "resvcpuraw": raw}
    return before | {"planned": waited, "plannedcpu": cpu_time, "plannedcpuraw": raw}  # 23.02


# Fields that the emulator does not measure, as in a Slurm without their plugins.
_FREQUENCIES = ("reqcpufreq", "reqcpufreqgov", "reqcpufreqmax", "reqcpufreqmin")
_UNMEASURED = {"consumedenergy": "0", "consumedenergyraw": "0", "avecpufreq": "0"}
_TRES = dict.fromkeys(
    ("tresusageinave", "tresusageintot", "tresusageoutave", "tresusageouttot"), "energy=0"
)


def job_row(
    job: Job, settings: EmulatorConfig, steps: Mapping[int, dict[str, Any]] = _NO_STEPS
) -> SacctRow:
    """The row of a job, an element, or an array's remainder."""
    request, cpus = job.request, str(job.cpus)
    allocated = bool(job.node)
    nodes = str(len(job.places) or 1)
    memory = request.memory_of(request.cpus) if request.mem_per_cpu else request.mem_mb
    memory = (memory or settings.mem_mb) * (1 if request.mem_per_cpu else int(nodes))
    user_s = job.user_s + sum(step.get("user_s", 0) for step in steps.values())
    system_s = job.system_s + sum(step.get("system_s", 0) for step in steps.values())
    shown = {
        "account": request.account,
        # The requested CPUs until the job starts; AllocTRES is empty until then.
        "alloccpus": cpus,
        "allocnodes": nodes if allocated else "0",
        "alloctres": f"billing={cpus},cpu={cpus},node={nodes}" if allocated else "",
        "reqtres": f"billing={cpus},cpu={cpus},mem={times.size(memory)},node={nodes}",
        "flags": "SchedMain,StartRecieved" if allocated else "StartRecieved",
        "gid": str(request.gid),
        "dbindex": str(job.id),
        "associd": "2",
        "qosraw": "1",
        "wckeyid": "0",
        "cluster": settings.cluster_name,
        # Kept only with AccountingStoreFlags=job_comment.
        "comment": "",
        "derivedexitcode": f"{max((step.get('code', 0) for step in steps.values()), default=0)}:0",
        "eligible": times.stamp(_eligible(job), "Unknown"),
        "exitcode": _exit_code(job.exit_code, job.exit_signal),
        "group": identity.group_name(request.gid),
        "jobid": _job_id(job),
        "jobidraw": str(job.id),
        "jobname": request.name,
        "ncpus": cpus,
        "nnodes": nodes,
        "nodelist": job.node_list or "None assigned",
        "partition": request.partition,
        "priority": str(job.priority),
        "qos": request.qos,
        "reason": job.waited_for,
        "reqcpus": str(request.cpus),
        "reqmem": times.size(memory),
        "reqnodes": nodes,
        "state": _state(job),
        "submit": times.stamp(job.submitted, "Unknown"),
        "submitline": request.submit_line,
        "timelimit": _limit(job.time_limit),
        "timelimitraw": str(job.time_limit or "UNLIMITED"),
        "uid": str(request.uid),
        "user": request.user,
        "workdir": request.work_dir,
        "restarts": str(job.restart),
        "qosreq": request.qos,
        "stdout": request.stdout,
        "stderr": request.stderr,
        "stdin": request.stdin or "/dev/null",
    }
    shown |= dict.fromkeys(_FREQUENCIES, "Unknown") | _reserved(job)
    shown |= {"consumedenergy": "0", "consumedenergyraw": "0"}
    shown |= _times(job.started, job.suspended or job.ended, job.cpus, job.suspended_s)
    shown |= _used(user_s, system_s)
    if job.suspended:
        shown["end"] = "Unknown"
    if job.is_final and not job.started:
        # Cancelled while pending: `None`; a held job had no row before its end.
        shown["start"] = shown["end"] if job.held else "None"
    return _row(job, "", shown, shown)


def _limit(minutes: int) -> str:
    return times.elapsed_long(minutes * 60) if minutes else "UNLIMITED"


def step_row(job: Job) -> SacctRow:
    """The row of the batch step."""
    cpus = job.places.get(job.node, job.request.cpus)
    is_over = bool(job.batch_state)
    exit_code = _exit_code(job.batch_code, job.batch_signal)
    shown = _step(cpus, [job.node], job.started) | {
        "account": job.request.account,
        "exitcode": "" if job.state == "NODE_FAIL" else exit_code,
        "jobid": f"{_job_id(job)}.batch",
        "jobidraw": f"{job.id}.batch",
        "jobname": "batch",
        "layout": "Unknown",
        "ntasks": "1",
        "state": job.batch_state or "RUNNING",
    }
    shown |= dict.fromkeys(_FREQUENCIES, "0")
    shown |= _times(job.started, (job.batch_ended or job.ended) if is_over else 0, cpus)
    shown |= _used(job.user_s, job.system_s) | (_TRES if is_over else {})
    whole = {"jobname": job.request.name, "partition": job.request.partition}
    whole |= {"user": job.request.user, "uid": str(job.request.uid), "account": job.request.account}
    whole |= {"qos": job.request.qos, "nodelist": job.node_list}
    whole |= {"nnodes": str(len(job.places) or 1), "ncpus": str(job.cpus)}
    return _row(job, "batch", shown, whole)


def _step(cpus: int, nodes: list[str], started: float) -> dict[str, str]:
    """The fields of all kinds of steps."""
    count = str(len(nodes))
    when = times.stamp(started, "Unknown")
    return {
        "alloccpus": str(cpus),
        "allocnodes": count,
        "alloctres": f"cpu={cpus},mem=0,node={count}",
        "associd": "2",
        "ncpus": str(cpus),
        "nnodes": count,
        "nodelist": hostlist.fold(nodes),
        "reqcpus": str(cpus),
        "reqnodes": count,
        "submit": when,
        "eligible": when,
    } | _UNMEASURED


def srun_row(job: Job, step: dict[str, Any]) -> SacctRow:
    """The row of a step of srun."""
    batch = step_row(job)
    ended = step.get("ended") or (job.ended if job.is_final else 0)
    state = "RUNNING"
    if "ended" in step:
        state = "CANCELLED" if step["signal"] else "FAILED" if step["code"] else "COMPLETED"
    elif job.is_final:
        state = "CANCELLED"
    cpus = step.get("cpus", job.cpus)
    shown = _step(cpus, step.get("nodes", [job.node]), step["started"])
    shown |= _times(step["started"], ended, cpus)
    shown |= _used(step.get("user_s", 0), step.get("system_s", 0)) | (_TRES if ended else {})
    shown |= dict.fromkeys(_FREQUENCIES, "Unknown")
    shown |= {
        "account": job.request.account,
        "jobid": f"{_job_id(job)}.{step['step']}",
        "jobidraw": f"{job.id}.{step['step']}",
        "jobname": step["name"],
        "layout": "Cyclic",
        "ntasks": str(step["ntasks"]),
        "state": state,
        "exitcode": _exit_code(step.get("code", 0), step.get("signal", 0)),
        "submitline": step.get("line", ""),
    }
    return _row(job, str(step["step"]), shown, batch["job"])


def _row(job: Job, step: str, shown: dict[str, str], whole: dict[str, str]) -> SacctRow:
    return {
        "id": job.id,
        "base": job.request.id,
        "task": job.task,
        "step": step,
        "state": shown["state"],
        "started": job.started,
        "ended": job.ended,
        "eligible": _eligible(job),
        "shown": shown,
        "job": whole,
    }


def phantom_rows(logged: LoggedState, late: list[dict[str, Any]]) -> list[SacctRow]:
    """Slurm's rows of a job whose start accounting has not processed yet.

    A row by raw id, named `allocation`, PENDING while the job runs (22.05.8).
    """
    newest = {event["id"]: event for event in late if event.get("started")}
    rows: list[SacctRow] = []
    for job_id, event in newest.items():
        seen = logged.jobs.get(job_id)
        if seen is not None and seen.started:
            continue
        fresh = LoggedState()
        fresh.requests = logged.requests
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
            "nodelist": job.node_list,
            "nnodes": "1",
            "ncpus": str(job.cpus),
            "qos": job.request.qos,
            "partition": job.request.partition,
            "user": job.request.user,
            "uid": str(job.request.uid),
            "account": job.request.account,
            "allocnodes": "1",
            "alloccpus": str(job.cpus),
        }
        rows.append(_row(job, "", shown, shown))
        rows.append(batch)
        for row in rows[-2:]:
            row["base"], row["task"] = job.id, None  # not recorded as an element yet
    return rows
