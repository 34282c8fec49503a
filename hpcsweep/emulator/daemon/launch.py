"""Start batch shells, and reap them."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hpcsweep import files
from hpcsweep.emulator import gpus, processes
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon.job_environment import environment
from hpcsweep.emulator.daemon.job_files import (
    output_path,
    output_paths,
    read_environment,
    read_script,
    spool_dir,
)
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.versions import SlurmVersion

# Exit signal of a job whose output file cannot be opened (Slurm 22.05: 0:53).
OUTPUT_SIGNAL = 53
_GO = b"g"
_FAILED = b"f"
# Signals that the scheduler handles; a job gets the default handlers.
_RESET = (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shell:
    """A batch shell that waits for `Shells.release`."""

    pid: int
    birth: int
    channel: socket.socket


@dataclass(frozen=True, kw_only=True, slots=True)
class ShellEnd:
    """The end of a job's batch shell."""

    job: Job
    # The exit code, or the signal; the other one is 0.
    code: int
    signal: int
    # Seconds of processor time, including all reaped children.
    user_s: float
    system_s: float


class Shells:
    """The running batch shells, which are children of the scheduler."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._running: dict[int, tuple[Job, Shell]] = {}

    def start(self, job: Job, settings: EmulatorConfig) -> Shell:
        """Fork the batch shell of `job`; it does nothing before `release`.

        *Writes* a copy of the script to the spool directory. *Raises* OSError; ClusterError if the
        job's script or environment is damaged.
        """
        script = spool_dir(self._state_dir, job) / "slurm_script"
        text = read_script(self._state_dir, job.request.id)
        script.parent.mkdir(parents=True, exist_ok=True, mode=files.PRIVATE_DIRECTORY)
        script.unlink(missing_ok=True)  # the file of an earlier run may still be in use
        script.write_bytes(text)
        script.chmod(0o700)
        shell = self._fork(job, script, settings)
        self._running[shell.pid] = (job, shell)
        return shell

    def start_beside(self, job: Job, settings: EmulatorConfig) -> None:
        """Run the script of a running job a second time; `reap` ignores it.

        *Raises* OSError, ClusterError.
        """
        script = spool_dir(self._state_dir, job) / "slurm_script"
        shell = self._fork(job, script, settings)
        self.release(shell)
        shell.channel.close()

    def _fork(self, job: Job, script: Path, settings: EmulatorConfig) -> Shell:
        submitted = read_environment(self._state_dir, job.request.id)
        values = environment(job, settings, self._state_dir, submitted)
        # Of the batch shell alone: salloc's shell runs on another host.
        values |= gpus.variables(job.gpus.get(job.node, ()), "JOB")
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _become(job, str(script), values, theirs, settings.version)
        theirs.close()
        ours.setblocking(False)
        seen = processes.find(pid)
        return Shell(pid=pid, birth=seen.birth if seen else 0, channel=ours)

    @staticmethod
    def release(shell: Shell) -> None:
        """Let a batch shell run; call it after its process id is in the event log."""
        with contextlib.suppress(OSError):  # it has died already; `reap` handles that
            shell.channel.send(_GO)

    def reap(self) -> Iterator[ShellEnd]:
        """The ends of batch shells since the last call."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                pid, status, usage = ended
                if pid not in self._running:
                    continue
                job, shell = self._running.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                code, number = max(0, code), max(0, -code)
                if _has_no_output(shell):
                    code, number = 0, OUTPUT_SIGNAL
                yield ShellEnd(
                    job=job,
                    code=code,
                    signal=number,
                    user_s=usage.ru_utime,
                    system_s=usage.ru_stime,
                )


def _has_no_output(shell: Shell) -> bool:
    """Whether the shell could not open its output; closes the channel."""
    try:
        return shell.channel.recv(1) == _FAILED
    except OSError:
        return False
    finally:
        shell.channel.close()


# -- in the child ------------------------------------------------------------------------------


def _become(
    job: Job, script: str, values: dict[str, str], channel: socket.socket, version: SlurmVersion
) -> NoReturn:
    """In the child: exec the batch shell."""
    try:
        os.setsid()
        _close_all_but(channel.fileno())
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if channel.recv(1) != _GO:  # the scheduler died before it logged our process id
            os._exit(1)
        os.umask(job.request.umask)
        if not _open_output(job, version):
            channel.send(_FAILED)
            os._exit(1)
        _change_directory(job, version)
        values["SLURM_TASK_PID"] = str(os.getpid())
        _execute(job, [script, *job.request.arguments], values, version)
    finally:
        os._exit(1)


def _close_all_but(kept: int) -> None:
    """Close the scheduler's locks and connections, which a child would keep open."""
    for number in [int(name) for name in os.listdir("/dev/fd")]:
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.close(number)


def _open_output(job: Job, version: SlurmVersion) -> bool:
    """Open the standard streams of the job. Returns whether all could be opened."""
    stdout, stderr = output_paths(job, version)
    # O_APPEND in both modes, so that messages of slurmstepd go to the end.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if job.request.append else os.O_TRUNC)
    try:
        stdin = output_path(job, job.request.stdin, version) if job.request.stdin else os.devnull
        if version.since("24.11"):  # slurmstepd makes the directories of the files
            for path in (stdout, stderr):
                os.makedirs(os.path.dirname(path), exist_ok=True)
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        os.dup2(os.open(stdout, flags, 0o666), 1)
        os.dup2(1 if stderr == stdout else os.open(stderr, flags, 0o666), 2)
    except OSError:
        return False
    return True


def _change_directory(job: Job, version: SlurmVersion) -> None:
    directory = job.request.work_dir
    try:
        os.chdir(directory)
    except OSError as error:
        text = f"couldn't chdir to `{directory}': {error.strerror}: going to /tmp instead"
        for _ in range(2):  # slurmd and slurmstepd both try
            os.write(2, version.stepd_line(job.node, text))
        os.chdir("/tmp")  # noqa: S108  # Slurm's own fallback


def _execute(job: Job, argv: list[str], values: dict[str, str], version: SlurmVersion) -> NoReturn:
    try:
        os.execve(argv[0], argv, values)
    except OSError as error:
        what = argv[0]
        if error.errno == errno.ENOENT:
            with open(argv[0], "rb") as stream:
                first = os.fsdecode(stream.readline()[2:]).split()
            what = f"bad interpreter({first[0] if first else ''})"
        os.write(2, version.stepd_line(job.node, f"execve(): {what}: {error.strerror}"))
        os._exit(error.errno or 1)
