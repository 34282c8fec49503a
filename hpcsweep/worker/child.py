"""The child of a slot: imports the user's code once, then forks a process for each case.

So every case starts from the state after the import, whichever cases ran before it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stub of it
import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hpcsweep.files import PRIVATE_FILE, names, token, write_all
from hpcsweep.worker import streams
from hpcsweep.worker.function import encode_answer
from hpcsweep.worker.inherited import (
    OpenFiles,
    RandomStates,
    adopt_orphans,
    clear_exit_handlers,
    finish_process,
    fork_obstacles,
    kill_orphans,
    own_children,
)
from hpcsweep.worker.messages import (
    ANSWER_MAX,
    NOTHING,
    ChildChannel,
    MakeCase,
    Request,
    Work,
    one_line,
    refusal,
    send_reply,
)
from hpcsweep.worker.runner import STOP_SIGNALS

if TYPE_CHECKING:
    from hpcsweep.worker.inprocess import InProcess

# Exit code of a child that cannot report its error. A shell uses 126 and 127 likewise.
EXIT_BROKEN = 125
DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def close_worker_descriptors(kept: set[int]) -> None:
    """Close the worker's own descriptors in a forked child: its journal, pipes and locks.

    They are those that an exec would close. What the job's script opened is inheritable and stays.
    """
    for name in names(DESCRIPTORS):
        descriptor = int(name)
        with contextlib.suppress(OSError):  # the directory itself
            if descriptor not in kept and not os.get_inheritable(descriptor):
                os.close(descriptor)


def die_with_worker(lifeline: int) -> None:
    """Make the kernel kill this process group when the worker is gone, for whatever reason.

    On a cluster that does not track processes by cgroup, a case would outlive its killed worker
    and run beside its own second attempt. `lifeline` is a pipe that only the worker holds open for
    writing, and to which it never writes: its hang-up becomes the signal.
    """
    if not hasattr(fcntl, "F_SETSIG"):  # not on macOS
        return
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


class Server:
    """The program of a persistent child: one process does the work for all cases of a slot."""

    is_persistent = True
    code_digest = None  # the child reports it after the import
    checkpoint_signal = None  # a checkpoint listens to TERM

    def __init__(self, work: Work, *, forks: bool = True) -> None:
        """`forks`: whether each case gets a process of its own, if the import allows it."""
        self._work, self._forks = work, forks

    def run(self, channel: ChildChannel, _request: Request | MakeCase) -> NoReturn:
        """Run cases until the worker closes its end. See `ChildProgram`."""
        _serve(self._work, channel, forks=self._forks)


def _serve(work: Work, channel: ChildChannel, *, forks: bool) -> NoReturn:
    adopt_orphans()
    executor: ForkedCases | InProcess | None = None
    own_pid = os.getpid()
    with os.fdopen(channel.requests, "rb", closefd=False) as lines:
        for line in lines:
            request = json.loads(line)
            if executor is None:
                random_states = RandomStates()
                loaded = work.load(request)
                if os.getpid() != own_pid:  # a fork by user code, returned from the import
                    os._exit(0)
                send_reply(channel.replies, channel.token, loaded)
                random_states.finish_import()
                executor = _executor(channel, random_states, work.root, forks=forks)
            executor.run(work, request)
    os._exit(0)


def _executor(
    channel: ChildChannel, random_states: RandomStates, root: Path, *, forks: bool
) -> ForkedCases | InProcess:
    obstacles = fork_obstacles() if forks else []
    if forks and not obstacles:
        return ForkedCases(channel, random_states)
    from hpcsweep.worker.inprocess import InProcess  # noqa: PLC0415  # few targets need it

    return InProcess(channel, random_states, obstacles, root)


# --- a process for each case ------------------------------------------------------------------


# Signals that a user, a shell or Slurm sends to all processes of a job.
_JOB_SIGNALS = (
    *STOP_SIGNALS,
    *(signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGXCPU),
)


class ForkedCases:
    """Runs each case in a fork of its own."""

    def __init__(self, channel: ChildChannel, random_states: RandomStates) -> None:
        self._channel, self._random_states = channel, random_states
        # Slurm's TERM reaches every process of a job: block it, to report how the case ended.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _JOB_SIGNALS)
        # If SIGCHLD were ignored, the kernel would discard the exit status of a case.
        self._import_sigchld = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._files = OpenFiles(channel.descriptors)
        self._kept = own_children()
        streams.flush()
        streams.reopen()  # the import may have replaced them
        gc.freeze()  # a collection in a case must not write to, and so copy, the import's pages

    def run(self, work: Work, request: dict[str, Any]) -> None:
        """Run a case; send its answer and its exit status."""
        try:
            fields, answer = self._fork_case(work, request)
        except OSError as error:  # out of processes, memory or descriptors
            refused = refusal(error)
            refused["error"]["message"] = (
                f"no process could be started for it: {refused['error']['message']}"
            )
            fields = {"status": 0, "cpu_seconds": None, "max_rss_bytes": None}
            answer = encode_answer(NOTHING | refused)
        send_reply(self._channel.replies, self._channel.token, fields, answer)

    def _fork_case(self, work: Work, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Run a case in a fork. Returns its exit status and usage, and its answer.

        *Raises* OSError.
        """
        answer, lifeline = anonymous_file(), reopened(self._channel.lifeline)
        try:
            pid = os.fork()
            if pid == 0:
                self._run_in_fork(work, request, answer, lifeline)
            with contextlib.suppress(OSError):  # the case did so itself
                os.setpgid(pid, pid)
            os.pwrite(self._channel.pid_file, b"%20d" % pid, 0)
            cpu_seconds = _wait_for_end(pid)
            with contextlib.suppress(OSError):  # usually nothing is left
                os.killpg(pid, signal.SIGKILL)  # processes that the case left behind
            _, status, usage = os.wait4(pid, 0)
            cpu_seconds += usage.ru_utime + usage.ru_stime + kill_orphans(self._kept)
            os.pwrite(self._channel.pid_file, b"%20s" % b"", 0)
            fields = {
                "status": status,
                "cpu_seconds": cpu_seconds,
                "max_rss_bytes": usage.ru_maxrss * 1024,
            }
            return fields, os.pread(answer, min(os.fstat(answer).st_size, ANSWER_MAX), 0)
        finally:
            os.close(answer)
            if lifeline is not None:
                os.close(lifeline)

    def _run_in_fork(
        self, work: Work, request: dict[str, Any], answer: int, lifeline: int | None
    ) -> NoReturn:
        own_pid, parent = os.getpid(), os.getppid()
        try:
            os.setpgid(0, 0)
            if lifeline is not None:
                die_with_worker(lifeline)  # its open file lives as long as the parent's descriptor
                gone = select.poll()
                gone.register(lifeline, 0)  # a hang-up is always reported
                if gone.poll(0):
                    os._exit(EXIT_BROKEN)
            channel = self._channel
            for descriptor in (channel.requests, channel.replies, channel.pid_file):
                os.close(descriptor)
            if lifeline is not None:
                # Reopened by /proc below, so that a stray write of the case cannot reach it.
                os.close(answer)
            self._files.make_own()
            self._random_states.restore_in_fork()
            clear_exit_handlers()
            if self._import_sigchld not in (None, signal.SIG_DFL):
                signal.signal(signal.SIGCHLD, self._import_sigchld)
            # Of the C module: `signal.pthread_sigmask` makes an enum of each signal, in each fork.
            _signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            try:
                reply = work.run(request)
            except OSError as error:  # of our own code; errors of user code are answers
                reply = NOTHING | refusal(error)
            if os.getpid() != own_pid:  # a fork by user code, returned from the target
                os._exit(0)
            finish_process()
            if lifeline is not None:
                with contextlib.suppress(OSError):
                    os.close(0)  # the case may have used up all descriptors
                answer = os.open(f"/proc/{parent}/fd/{answer}", os.O_WRONLY)
            write_all(answer, encode_answer(reply))
            os._exit(0)
        finally:  # our own code failed: report it in the task's output
            exit_broken(self._channel.task_stderr)


def _wait_for_end(pid: int) -> float:
    """Wait until a case has ended, but not for its status.

    Returns the CPU seconds of its daemons that ended before: they became children of this process.
    """
    cpu_seconds = 0.0
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_pid == pid:
            return cpu_seconds
        _, _, usage = os.wait4(ended.si_pid, 0)
        cpu_seconds += usage.ru_utime + usage.ru_stime


def exit_broken(task_stderr: int) -> NoReturn:
    """Report the current exception in the task's output and exit."""
    error = sys.exc_info()[1]
    text = traceback.format_exc()
    if isinstance(error, OSError):
        text = f"hpcsweep: the process of a case cannot continue: {one_line(error)}\n"
    try:
        os.write(task_stderr, text.encode(errors="backslashreplace"))
    finally:
        os._exit(EXIT_BROKEN)


def anonymous_file() -> int:
    """Make a file without a name; it is freed with its last descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpcsweep")
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/hpcsweep-{token()}"  # noqa: S108
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    os.unlink(path)  # noqa: PTH108  # beside the open above
    return descriptor


def reopened(lifeline: int) -> int | None:
    """Open the pipe once more: the new open file can have another owner. None without /proc."""
    try:
        return os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
