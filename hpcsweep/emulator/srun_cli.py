"""srun: a step inside a job, all of its tasks on the job's node."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, options
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "!account,A: !array,a: chdir,D: !constraint,C: !cpu-bind: cpus-per-task,c: !dependency,d: "
    "error,e: !exact !exclusive:: !export: !gres: !help,h !immediate,I:: !input,i: job-name,J: "
    "!jobid: !kill-on-bad-exit,K:: !label,l !mem: !mpi: !multi-prog !no-allocate,Z !nodelist,w: "
    "nodes,N: ntasks,n: !ntasks-per-node: output,o: !overlap !partition,p: !pty !qos,q: !quiet,Q "
    "!signal: !time,t: unbuffered,u !verbose,v version,V !wait,W: !wckey:"
)
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


def main(state_dir: Path, argv: list[str]) -> int:
    """Run a command as the tasks of a step; the highest exit code of them."""
    found, command = options.Getopt("srun", TABLE, exit_code=255).read(argv, operands_last=True)
    wanted = dict(found)
    if "version" in wanted:
        return options.version()
    if not command:
        options.say("srun: fatal: No command given to execute.")
        return 1
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        options.not_emulated("srun", "srun outside of a job")
    tasks = _count(wanted, int(os.environ.get("SLURM_NTASKS", "1")))
    question = {"do": "step_begin", "job": int(job), "pid": os.getpid(), "ntasks": tasks}
    name = wanted.get("job-name", os.path.basename(command[0]))
    try:
        step = client.ask(state_dir, question | {"name": name})
    except ClusterUnavailable:
        options.say(
            f"srun: error: Unable to confirm allocation for job {job}: "
            "Unable to contact slurm controller (connect failure)"
        )
        options.say(f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {job}")
        return 1
    if "error" in step:
        options.error("srun", f"Unable to create step for job {job}: {step['error']}")
    pids = [_start(command, wanted, step, task, tasks) for task in range(tasks)]
    code, number = _wait(pids, step["node"])
    ended = {"do": "step_end", "job": int(job), "step": step["step"], "code": code}
    try:
        client.ask(state_dir, ended | {"signal": number})
    except ClusterUnavailable:
        options.say("srun: error: the end of the step could not be told")
    return code or (128 + number if number else 0)


def _count(wanted: dict[str, str], default: int) -> int:
    text = wanted.get("ntasks", str(default))
    if not text.isdigit() or int(text) < 1:
        options.error("srun", f'Invalid numeric value "{text}" for --ntasks.')
    if wanted.get("nodes", "1") not in ("1", "1-1"):
        options.not_emulated("srun", f"option --nodes={wanted['nodes']}")
    return int(text)


def _start(
    command: list[str], wanted: dict[str, str], step: dict[str, Any], task: int, tasks: int
) -> int:
    """Fork one task; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        node, number = step["node"], str(step["step"])
        values: dict[str, Any] = {"PROCID": task, "LOCALID": task, "NTASKS": tasks, "NPROCS": tasks}
        values |= {"STEPID": number, "STEP_ID": number, "STEP_NODELIST": node}
        values |= {"STEP_NUM_NODES": 1, "STEP_NUM_TASKS": tasks, "STEP_TASKS_PER_NODE": tasks}
        values |= {"TASK_PID": os.getpid()}
        if "cpus-per-task" in wanted:
            values["CPUS_PER_TASK"] = wanted["cpus-per-task"]
        environment = os.environ | {f"SLURM_{key}": str(value) for key, value in values.items()}
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if "chdir" in wanted:
            os.chdir(wanted["chdir"])
        _open(wanted, task, step)
        os.execvpe(command[0], command, environment)
    except OSError as error:
        options.say(f"slurmstepd: error: execve(): {command[0]}: {error.strerror}")
        os._exit(2)
    finally:
        os._exit(1)


def _open(wanted: dict[str, str], task: int, step: dict[str, Any]) -> None:
    """--output and --error, with the patterns of a step."""
    job = os.environ["SLURM_JOB_ID"]
    array = os.environ.get("SLURM_ARRAY_JOB_ID", job)
    symbols = {
        "A": array, "a": os.environ.get("SLURM_ARRAY_TASK_ID", "4294967294"), "j": job,
        "J": f"{job}.{step['step']}", "s": str(step["step"]), "t": str(task), "n": str(task),
        "N": step["node"], "x": os.environ.get("SLURM_JOB_NAME", ""), "%": "%",
        "u": os.environ.get("SLURM_JOB_USER", ""),
    }  # fmt: skip
    append = os.environ.get("SLURM_OPEN_MODE", "").startswith("a")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
    for name, numbers in (("output", (1, 2)), ("error", (2,))):
        if name in wanted:
            path = "".join(
                symbols.get(part[0], f"%{part[0]}") + part[1:] if index and part else part
                for index, part in enumerate(wanted[name].replace("%%", "%\0").split("%"))
            ).replace("%\0", "%")
            descriptor = os.open(path, flags, 0o666)
            for number in numbers:
                os.dup2(descriptor, number)


def _wait(pids: list[int], node: str) -> tuple[int, int]:
    """The highest exit code, and the highest signal that ended a task."""

    def forward(number: int, _: object) -> None:
        for pid in left:
            os.kill(pid, number)

    left = list(pids)
    for number in _FORWARDED:
        signal.signal(number, forward)
    worst_code = worst_signal = 0
    while left:
        pid, status = os.wait()
        task = pids.index(pid)
        left.remove(pid)
        code = os.waitstatus_to_exitcode(status)
        if code > 0:
            options.say(f"srun: error: {node}: task {task}: Exited with exit code {code}")
        elif code < 0:
            options.say(f"srun: error: {node}: task {task}: {signal.strsignal(-code)}")
        worst_code, worst_signal = max(worst_code, code), max(worst_signal, -code)
    sys.stderr.flush()
    return worst_code, worst_signal
