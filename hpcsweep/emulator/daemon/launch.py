"""Starting a job: its environment, its output files, its process."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import json
import os
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hpcsweep import files
from hpcsweep.emulator import arrays, config, names, patterns, processes, who
from hpcsweep.emulator.daemon.pool import spread
from hpcsweep.emulator.jobs import Job

# Exit code and signal of a job whose output file cannot be opened (Slurm 22.05: 0:53).
OUTPUT_SIGNAL = 53
_GO = b"g"
_FAILED = b"f"


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A batch shell that waits for `go`."""

    pid: int
    birth: int
    channel: socket.socket


def submission_dir(state_dir: Path, base_id: int) -> Path:
    """Where the script and the environment of one sbatch are kept."""
    return state_dir / names.SUBMISSIONS / str(base_id)


def spool_dir(state_dir: Path, job: Job) -> Path:
    """The node's own directory of a running job."""
    return state_dir / names.SPOOL / job.node / f"job{job.id:05d}"


def output_path(job: Job, pattern: str) -> str:
    """A file name pattern of --output or --error, filled in; absolute."""
    request = job.request
    if pattern == "none":
        return os.devnull
    if "\\" in pattern:  # sbatch(1): a backslash switches the replacement symbols off
        return os.path.join(request.work_dir, re.sub(r"\\(.)", r"\1", pattern))
    symbols = {
        "A": str(request.id),
        "a": str(arrays.NO_TASK if job.task is None else job.task),
        "j": str(job.id),
        "J": str(job.id),
        "n": "0",
        "t": "0",
        # The machine's name and not the node's; the step of a batch script is `batch`.
        "N": who.host_name(),
        "s": "batch",
        "u": request.user,
        "x": request.name,
    }
    return os.path.join(request.work_dir, patterns.fill(pattern, symbols))


def output_paths(job: Job) -> tuple[str, str]:
    """The files of standard output and standard error."""
    default = "slurm-%A_%a.out" if job.request.array else "slurm-%j.out"
    stdout = output_path(job, job.request.stdout or default)
    return stdout, output_path(job, job.request.stderr) if job.request.stderr else stdout


def environment(
    job: Job, settings: config.EmulatorConfig, state_dir: Path, submitted: dict[str, str]
) -> dict[str, str]:
    """The job's environment: the submitted one, then Slurm's variables over it."""
    request = job.request
    node, identity, nodes = job.node, str(job.id), job.node_list
    cpus = str(job.places[node])
    constant = "ENVIRONMENT=BATCH SLURM_GTIDS=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_PRIO_PROCESS=0"
    constant += " SLURM_PROCID=0 SLURM_NODE_ALIASES=(null)"
    constant += " SLURM_TOPOLOGY_ADDR_PATTERN=node"
    values = dict(word.split("=") for word in constant.split())
    values |= dict.fromkeys(("HOSTNAME", "SLURMD_NODENAME"), node)
    values |= dict.fromkeys(("SLURM_JOB_NODELIST", "SLURM_NODELIST"), nodes)
    values |= dict.fromkeys(("SLURM_JOB_NUM_NODES", "SLURM_NNODES"), str(len(job.places)))
    values |= {
        "SLURM_CLUSTER_NAME": settings.cluster_name,
        "SLURM_CONF": str(state_dir / names.SLURM_CONF),
        "SLURM_CPUS_ON_NODE": cpus,
        "SLURM_JOBID": identity,
        "SLURM_JOB_CPUS_PER_NODE": patterns.per_node(job.places.values()),
        "SLURM_JOB_GID": str(request.gid),
        "SLURM_JOB_ID": identity,
        "SLURM_JOB_NAME": request.name,
        "SLURM_JOB_PARTITION": request.partition,
        "SLURM_JOB_QOS": request.qos,
        "SLURM_JOB_UID": str(request.uid),
        "SLURM_JOB_USER": request.user,
        "SLURM_SUBMIT_DIR": request.submit_dir,
        "SLURM_SUBMIT_HOST": request.submit_host,
        "SLURM_TASKS_PER_NODE": patterns.per_node(_tasks(job)),
        "SLURM_TOPOLOGY_ADDR": node,
        "SLURM_WORKING_CLUSTER": f"{settings.cluster_name}:{who.host_name()}:0:9728:109",
    }
    if request.account:
        values["SLURM_JOB_ACCOUNT"] = request.account
    if request.cpus_per_task or "SLURM_CPUS_PER_TASK" in submitted:
        values["SLURM_CPUS_PER_TASK"] = str(max(1, request.cpus_per_task))
    if request.ntasks or request.ntasks_per_node:
        values["SLURM_NTASKS"] = values["SLURM_NPROCS"] = str(request.tasks)
    if request.ntasks_per_node:
        values["SLURM_NTASKS_PER_NODE"] = str(request.ntasks_per_node)
    if request.mem_mb:
        name = "SLURM_MEM_PER_CPU" if request.mem_per_cpu else "SLURM_MEM_PER_NODE"
        values[name] = str(request.mem_mb)
    if request.append:
        values["SLURM_OPEN_MODE"] = "a"
    if job.restart:
        values["SLURM_RESTART_COUNT"] = str(job.restart)
    if job.task is not None:
        values |= _array_environment(job)
    return {"TMPDIR": "/tmp"} | submitted | values  # noqa: S108  # what slurmstepd sets


def _tasks(job: Job) -> list[int]:
    """The tasks of each node; a node that the job has for itself holds as many as fit."""
    room = {name: cpus // job.request.cpus_of_task for name, cpus in job.places.items()}
    if job.request.exclusive and not (job.request.ntasks or job.request.ntasks_per_node):
        return list(room.values())
    return list(spread(job.request.tasks, room).values())


def _array_environment(job: Job) -> dict[str, str]:
    count, first, last, step = _array_shape(job.request.array)
    return {
        "SLURM_ARRAY_JOB_ID": str(job.request.id),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_ID": str(job.task),
        "SLURM_ARRAY_TASK_MAX": str(last),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_STEP": str(step),
    }


@functools.lru_cache(maxsize=16)
def _array_shape(array: str) -> tuple[int, int, int, int]:
    """Count, lowest and highest id, and the step: 1 unless all ids are the same step apart."""
    ids = arrays.parse_array(array, arrays.ANY_ID)
    steps = {after - before for before, after in itertools.pairwise(ids)}
    return len(ids), ids[0], ids[-1], steps.pop() if len(steps) == 1 else 1


def start(
    job: Job, settings: config.EmulatorConfig, state_dir: Path, *, beside: bool = False
) -> Started:
    """Fork the batch shell of `job` on its node; it does nothing before `go`.

    `beside`: while the job runs already.

    *Writes* the script's copy in the node's spool directory. *Raises* OSError.
    """
    kept = submission_dir(state_dir, job.request.id)
    spool = spool_dir(state_dir, job)
    spool.mkdir(parents=True, exist_ok=True, mode=files.PRIVATE_DIRECTORY)
    script = spool / "slurm_script"
    if not beside:
        script.unlink(missing_ok=True)  # one of an earlier run may still be executing
        script.write_bytes((kept / "script").read_bytes())
        script.chmod(0o700)
    submitted = json.loads((kept / "environment").read_bytes())
    values = environment(job, settings, state_dir, submitted)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(job, str(script), values, theirs)
    theirs.close()
    ours.setblocking(False)
    seen = processes.look(pid)
    return Started(pid=pid, birth=seen.birth if seen else 0, channel=ours)


def go(started: Started) -> None:
    """Let the batch shell run: its process id is in the event log by now."""
    with contextlib.suppress(OSError):  # it died already; waiting for it will say so
        started.channel.send(_GO)


def failed_to_start(started: Started) -> bool:
    """Whether the process ended because its output could not be opened; closes the channel."""
    try:
        return started.channel.recv(1) == _FAILED
    except OSError:
        return False
    finally:
        started.channel.close()


def _become(job: Job, script: str, values: dict[str, str], channel: socket.socket) -> NoReturn:
    """In the child: turn into the batch shell."""
    try:
        os.setsid()
        _close_all_but(channel.fileno())
        for number in (
            signal.SIGPIPE,
            signal.SIGHUP,
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGCHLD,
        ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if channel.recv(1) != _GO:  # the scheduler died before it could write our process id
            os._exit(1)
        os.umask(job.request.umask)
        if not _open_output(job):
            channel.send(_FAILED)
            os._exit(1)
        _change_directory(job)
        values["SLURM_TASK_PID"] = str(os.getpid())
        _execute(job, [script, *job.request.arguments], values)
    finally:
        os._exit(1)


def _close_all_but(kept: int) -> None:
    """The scheduler's locks and connections must not live on in a child that hangs in an open."""
    for number in [int(name) for name in os.listdir("/dev/fd")]:
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.close(number)


def _open_output(job: Job) -> bool:
    stdout, stderr = output_paths(job)
    # O_APPEND in both modes, so that the messages about a kill land at the end.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if job.request.append else os.O_TRUNC)
    try:
        stdin = output_path(job, job.request.stdin) if job.request.stdin else os.devnull
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        os.dup2(os.open(stdout, flags, 0o666), 1)
        os.dup2(1 if stderr == stdout else os.open(stderr, flags, 0o666), 2)
    except OSError:
        return False
    return True


def _change_directory(job: Job) -> None:
    directory = job.request.work_dir
    try:
        os.chdir(directory)
    except OSError as error:
        text = f"couldn't chdir to `{directory}': {error.strerror}: going to /tmp instead"
        for _ in range(2):  # slurmd and slurmstepd both try
            os.write(2, _stepd(job, text))
        os.chdir("/tmp")  # noqa: S108  # Slurm's own fallback


def _execute(job: Job, argv: list[str], values: dict[str, str]) -> NoReturn:
    try:
        os.execve(argv[0], argv, values)
    except OSError as error:
        what = argv[0]
        if error.errno == errno.ENOENT:
            with open(argv[0], "rb") as stream:
                first = os.fsdecode(stream.readline()[2:]).split()
            what = f"bad interpreter({first[0] if first else ''})"
        os.write(2, _stepd(job, f"execve(): {what}: {error.strerror}"))
        os._exit(error.errno or 1)


def _stepd(job: Job, text: str) -> bytes:
    return f"slurmstepd-{job.node}: error: {text}\n".encode(errors="surrogateescape")


def write_message(job: Job, text: str) -> None:
    """Append slurmstepd's words to the job's standard error, if the file is there."""
    path = output_paths(job)[1]
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            os.write(descriptor, _stepd(job, text))
        finally:
            os.close(descriptor)
