"""srun: a step inside a job, or a job of its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client
from hpcsweep.emulator.messages import UNREACHABLE
from hpcsweep.emulator.programs import (
    gres_options,
    job_allocation,
    job_options,
    options,
    srun_tasks,
)
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    job_allocation.OPTIONS
    + "!array,a: !bcast:: compress:: cpu-bind: !disable-status,X epilog: error,e: "
    "exact export: input,i: !interactive jobid: kill-on-bad-exit,K:: label,l mpi: multi-prog "
    "!no-allocate,Z open-mode: output,o: !overcommit,O overlap preserve-env,E prolog: propagate:: "
    "pty !relative,r: !resv-ports:: task-epilog: task-prolog: test-only unbuffered,u wait,W:"
)
# Seconds between two tries of a step that waits for others; they grow, like Slurm's.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 1.0


def main(state_dir: Path, argv: list[str]) -> int:
    """Run a command as the tasks of a step. Returns their highest exit code."""
    pairs, command = options.Getopt("srun", TABLE, exit_code=255).read(argv, operands_last=True)
    layer = job_options.layer_of(pairs)
    if options.print_information("srun", "executable [args...]", TABLE, layer):
        return 0
    if not command:
        options.to_stderr("srun: fatal: No command given to execute.")
        return 1
    if "pty" in layer and not sys.stdin.isatty():
        options.to_stderr("srun: error: ioctl(TIOCGWINSZ): Inappropriate ioctl for device")
        options.print_error("srun", "Not using a pseudo-terminal, disregarding --pty option")
    step = srun_tasks.StepRequest(command=command, layer=layer, line=" ".join(["srun", *argv]))
    job = layer.get("jobid", os.environ.get("SLURM_JOB_ID", ""))
    if job.isdigit():
        if "jobid" in layer and job != os.environ.get("SLURM_JOB_ID"):
            answer = client.ask(state_dir, {"do": "allocation", "job": int(job)})
            os.environ.update(answer.get("environment", {}))
        return _in_job(state_dir, int(job), step)
    name = layer.get("job-name", os.path.basename(command[0]))
    with job_allocation.allocated(state_dir, layer, name, "srun", argv) as allocation:
        os.environ.update(allocation.environment)
        code = _in_job(state_dir, allocation.job, step)
        if allocation.release(code, 0) == "CANCELLED":
            options.to_stderr(f"srun: Force Terminated JobId={allocation.job}")
    return code


def _in_job(state_dir: Path, job: int, step: srun_tasks.StepRequest) -> int:
    """Begin a step, run it, and report its end."""
    question = _question(job, step)
    try:
        answer = _begin(state_dir, question)
    except ClusterUnavailable:
        options.to_stderr(f"srun: error: Unable to confirm allocation for job {job}: {UNREACHABLE}")
        options.to_stderr(
            f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {job}"
        )
        return 1
    if "error" in answer:
        options.fail("srun", f"Unable to create step for job {job}: {answer['error']}")
    code, number = srun_tasks.run(step, answer, job)
    used = os.times()
    ended = {"do": "step_end", "job": job, "step": answer["step"], "code": code, "signal": number}
    ended |= {"user_s": used.children_user, "system_s": used.children_system}
    try:
        client.ask(state_dir, ended)
    except ClusterUnavailable:
        options.print_error("srun", "the end of the step could not be told")
    return code or (128 + number if number else 0)


def _begin(state_dir: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Begin the step; wait while other steps use its CPUs."""
    pause, job = _FIRST_PAUSE_S, question["job"]
    answer = client.ask(state_dir, question)
    if not answer.get("busy"):
        return answer
    names_step = options.version().since("24.11")
    if not names_step:
        options.to_stderr(
            f"srun: Job {job} step creation temporarily disabled, retrying "
            "(Requested nodes are busy)"
        )
    while answer.get("busy"):
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE_S)
        answer = client.ask(state_dir, question)
    step = f"StepId={job}.{answer['step']}" if names_step else f"job {job}"
    options.to_stderr(f"srun: Step created for {step}")
    return answer


def _question(job: int, step: srun_tasks.StepRequest) -> dict[str, Any]:
    layer, name = step.layer, os.path.basename(step.command[0])
    per_node = job_options.count(layer, "ntasks-per-node")
    nodes, tasks = _size(layer, per_node)
    if per_node and tasks > nodes * per_node:
        options.warn(
            f"can't honor --ntasks-per-node set to {per_node} which doesn't match "
            f"the requested tasks {tasks} with the number of requested nodes {nodes}. "
            "Ignoring --ntasks-per-node."
        )
        per_node = 0
    return {
        "do": "step_begin",
        "job": job,
        "pid": os.getpid(),
        "name": layer.get("job-name", name),
        "line": step.line,
        "nodes": nodes,
        "ntasks": tasks,
        "ntasks_per_node": per_node,
        "cpus_per_task": job_options.count(layer, "cpus-per-task")
        or _variable("SRUN_CPUS_PER_TASK", 1),
        # Inside a job --exclusive means --exact, see srun(1); so does a count of CPUs, named in
        # whatever way (22.05).
        "exact": bool({"exact", "exclusive", "cpus-per-task"} & set(layer))
        or bool(_variable("SRUN_CPUS_PER_TASK", 0)),
        "overlap": "overlap" in layer,
        "overcommit": False,
        "nodelist": layer.get("nodelist", ""),
        "exclude": layer.get("exclude", ""),
        "gres": gres_options.of_step(layer, nodes),
    }


def _size(layer: job_options.Layer, per_node: int) -> tuple[int, int]:
    """Nodes and tasks of the step: the requested ones, or those of the job."""
    nodes = _nodes(layer)
    tasks = job_options.count(layer, "ntasks") or _variable("SLURM_NTASKS", 0)
    tasks = tasks or nodes * max(1, per_node)
    if tasks < nodes:
        options.warn(f"can't run {tasks} processes on {nodes} nodes, setting nnodes to {tasks}")
        nodes = tasks
    return nodes, tasks


def _nodes(layer: job_options.Layer) -> int:
    if "nodes" in layer:
        return job_options.nodes({"nodes": layer["nodes"]})[0]
    return _variable("SLURM_NNODES", 1)


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() and int(text) else default
