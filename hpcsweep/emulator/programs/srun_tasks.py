"""The tasks of a step: start them, redirect or label their output, wait for them."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from hpcsweep.emulator import arrays, gpus, patterns, times
from hpcsweep.emulator.programs import job_request, options

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
_NO_TASK = str(arrays.NO_TASK)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRequest:
    """The request of an srun."""

    command: list[str]
    layer: dict[str, str]
    # The whole command line, for accounting.
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """One task: its rank in the step, its node, and its rank there."""

    rank: int
    node: str
    node_rank: int
    local_rank: int


def run(step: StepRequest, answer: dict[str, Any], job: int) -> tuple[int, int]:
    """Run all tasks. Returns the highest exit code, and the highest signal that killed one."""
    tasks = _tasks(answer["tasks"])
    commands = _commands(step, len(tasks))
    is_labelled = "label" in step.layer
    pids: dict[int, _Task] = {}
    streams: dict[int, tuple[int, int]] = {}
    for task in tasks:
        ends = (*os.pipe(), *os.pipe()) if is_labelled else None
        pid = os.fork()
        if not pid:
            if ends:
                os.dup2(ends[1], 1)
                os.dup2(ends[3], 2)
            _exec(step.layer, commands[task.rank], answer | {"job": job}, task)
        pids[pid] = task
        if ends:
            streams |= {ends[0]: (task.rank, 1), ends[2]: (task.rank, 2)}
            os.close(ends[1])
            os.close(ends[3])
    _forward(pids, step.layer, answer["time_scale"])
    if streams:
        _copy_lines(streams, len(str(len(tasks) - 1)))
    return _wait(pids, kills=step.layer.get("kill-on-bad-exit", "0") != "0")


def _tasks(shares: dict[str, int]) -> list[_Task]:
    tasks: list[_Task] = []
    for number, (node, count) in enumerate(shares.items()):
        for local in range(count):
            tasks.append(_Task(rank=len(tasks), node=node, node_rank=number, local_rank=local))
    return tasks


def _commands(step: StepRequest, tasks: int) -> list[list[str]]:
    """The command of each task."""
    if "multi-prog" not in step.layer:
        return [step.command] * tasks
    from hpcsweep.emulator.programs import srun_multi_prog  # noqa: PLC0415  # few want it

    return srun_multi_prog.read(step.command[0], tasks)


# -- in the task -------------------------------------------------------------------------------


def _exec(
    layer: dict[str, str], command: list[str], answer: dict[str, Any], task: _Task
) -> NoReturn:
    """In the child: exec the task."""
    try:
        environment = _environment(layer, answer, task)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if "chdir" in layer:
            os.chdir(layer["chdir"])
        _open(layer, task, answer)
        os.execvpe(command[0], command, environment)
    except OSError as error:
        text = f"execve(): {command[0]}: {error.strerror}"
        os.write(2, options.version().stepd_line(task.node, text))
        os._exit(2)
    finally:
        os._exit(1)


def _environment(layer: dict[str, str], answer: dict[str, Any], task: _Task) -> dict[str, str]:
    shares, number = answer["tasks"], str(answer["step"])
    total = sum(shares.values())
    first = task.rank - task.local_rank
    values: dict[str, Any] = {
        "PROCID": task.rank,
        "LOCALID": task.local_rank,
        "NODEID": task.node_rank,
        "NTASKS": total,
        "NPROCS": total,
        "NNODES": len(shares),
        "GTIDS": ",".join(str(first + place) for place in range(shares[task.node])),
        "CPUS_ON_NODE": answer["cpus"][task.node],
        "STEPID": number,
        "STEP_ID": number,
        "STEP_NODELIST": answer["nodes"],
        "STEP_NUM_NODES": len(shares),
        "STEP_NUM_TASKS": total,
        "STEP_TASKS_PER_NODE": patterns.per_node(shares.values()),
        "TASK_PID": os.getpid(),
        "LAUNCH_NODE_IPADDR": "127.0.0.1",
        "SRUN_COMM_HOST": "127.0.0.1",
        "UMASK": f"{_umask():04o}",
    }
    if len(shares) > 1:
        values["DISTRIBUTION"] = layer.get("distribution", "block")
    if "cpus-per-task" in layer:
        values["CPUS_PER_TASK"] = layer["cpus-per-task"]
    base = dict(os.environ)
    if layer.get("export", "ALL").upper() != "ALL":
        base = job_request.exported(layer["export"])
    named = {f"SLURM_{key}": str(value) for key, value in values.items()}
    named |= gpus.variables(answer["gpus"].get(task.node, ()), "STEP")
    return base | named | {"SLURMD_NODENAME": task.node, "HOSTNAME": task.node}


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _open(layer: dict[str, str], task: _Task, answer: dict[str, Any]) -> None:
    """Open the streams of --input, --output and --error, with the patterns of a step."""
    environ, job = os.environ, answer["job"]
    symbols = {
        "A": environ.get("SLURM_ARRAY_JOB_ID", str(job)),
        "a": environ.get("SLURM_ARRAY_TASK_ID", _NO_TASK),
        "j": str(job),
        "J": f"{job}.{answer['step']}",
        "s": str(answer["step"]),
        "t": str(task.rank),
        "n": str(task.node_rank),
        "N": task.node,
        "x": environ.get("SLURM_JOB_NAME", ""),
        "u": environ.get("SLURM_JOB_USER", ""),
    }
    mode = layer.get("open-mode", environ.get("SLURM_OPEN_MODE", ""))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if mode.startswith("a") else os.O_TRUNC)
    for name, numbers in (("output", (1, 2)), ("error", (2,))):
        if name in layer:
            path = patterns.fill(layer[name], symbols)
            descriptor = os.open(os.devnull if path == "none" else path, flags, 0o666)
            for number in numbers:
                os.dup2(descriptor, number)
    source = layer.get("input", "all")
    if source.isdigit():
        source = "all" if int(source) == task.rank else "none"
    if source != "all":
        path = os.devnull if source == "none" else patterns.fill(source, symbols)
        os.dup2(os.open(path, os.O_RDONLY), 0)


# -- in srun -----------------------------------------------------------------------------------


def _forward(pids: dict[int, _Task], layer: dict[str, str], scale: float) -> None:
    """Forward signals to the tasks; terminate them at the step's time limit."""

    def forward(number: int, _: object) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM if number == signal.SIGALRM else number)

    for number in (*_FORWARDED, signal.SIGALRM):
        signal.signal(number, forward)
    if minutes := times.parse_minutes(layer.get("time", "0")):
        signal.setitimer(signal.ITIMER_REAL, minutes * 60 * scale)


def _copy_lines(streams: dict[int, tuple[int, int]], width: int) -> None:
    """Print the output lines of the tasks for --label, each prefixed with its task's rank."""
    import selectors  # noqa: PLC0415  # few want it

    rests: dict[int, bytes] = dict.fromkeys(streams, b"")
    outputs: dict[int, BinaryIO] = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    with selectors.DefaultSelector() as selector:
        for number in streams:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                *lines, rest = (rests[key.fd] + data).split(b"\n")
                if not data:
                    selector.unregister(key.fd)
                    lines, rest = [rest] * bool(rest), b""
                rests[key.fd] = rest
                rank, output = streams[key.fd]
                for line in lines:
                    outputs[output].write(f"{rank:>{width}}: ".encode() + line + b"\n")
                outputs[output].flush()


def _wait(pids: dict[int, _Task], *, kills: bool) -> tuple[int, int]:
    """Wait for all tasks. Returns the highest exit code and signal.

    `kills`: one failure kills the other tasks.
    """
    ended: dict[tuple[str, str], list[int]] = {}
    worst_code = worst_signal = 0
    while pids:
        pid, status = os.wait()
        task = pids.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code:
            words = f"Exited with exit code {code}" if code > 0 else signal.strsignal(-code) or ""
            ended.setdefault((task.node, words), []).append(task.rank)
            for other in pids if kills else ():
                os.kill(other, signal.SIGKILL)
        worst_code, worst_signal = max(worst_code, code), max(worst_signal, -code)
    for (node, words), ranks in ended.items():
        which = (
            f"tasks {arrays.format_ids(sorted(ranks))}" if len(ranks) > 1 else f"task {ranks[0]}"
        )
        options.print_error("srun", f"{node}: {which}: {words}")
    sys.stderr.flush()
    return worst_code, worst_signal
