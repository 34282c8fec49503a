"""The child of a slot: imports the user's code once, then forks a process for each case.

So every case begins with what the import left, whichever cases ran before it.
"""

from __future__ import annotations

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
    clear_exit_handlers,
    finish_process,
    fork_obstacles,
)
from hpcsweep.worker.messages import (
    ANSWER_MAX,
    NOTHING,
    Ends,
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

# The child's own exit code when it cannot even report; a shell uses 126 and 127 in this way.
EXIT_BROKEN = 125
DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def close_workers_own(kept: set[int]) -> None:
    """Close in a forked child what the worker has opened: its journal, its pipes, its locks.

    All of that would close with an exec, and what the job's script had opened would not.
    """
    for name in names(DESCRIPTORS):
        descriptor = int(name)
        with contextlib.suppress(OSError):  # the directory itself
            if descriptor not in kept and not os.get_inheritable(descriptor):
                os.close(descriptor)


def die_with_worker(lifeline: int) -> None:
    """Have the kernel kill this process group when the worker is gone, however it went.

    Where a cluster does not track processes by cgroup, a case would outlive its killed worker and
    run beside its own second attempt. `lifeline` is a pipe that only the worker holds open for
    writing and never writes to: its hang-up becomes the signal.
    """
    if not hasattr(fcntl, "F_SETSIG"):  # not on macOS
        return
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


class Server:
    """The program of a child that does some work for all cases of its slot."""

    is_persistent = True
    code_digest = None  # the child says it when it has imported the code

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(self, ends: Ends, _request: Request | MakeCase) -> NoReturn:
        """Run cases until the worker closes its end. As `ChildProgram` says."""
        _serve(self._work, ends)


def _serve(work: Work, ends: Ends) -> NoReturn:
    executor: ForkedCases | InProcess | None = None
    own_pid = os.getpid()
    with os.fdopen(ends.requests, "rb", closefd=False) as lines:
        for line in lines:
            request = json.loads(line)
            if executor is None:
                random_states = RandomStates()
                loaded = work.load(request)
                if os.getpid() != own_pid:  # a fork of the user's that returned from the import
                    os._exit(0)
                send_reply(ends.replies, ends.token, loaded)
                random_states.finish_import()
                executor = _executor(ends, random_states, work.root)
            executor.run(work, request)
    os._exit(0)


def _executor(ends: Ends, random_states: RandomStates, root: Path) -> ForkedCases | InProcess:
    obstacles = fork_obstacles()
    if not obstacles:
        return ForkedCases(ends, random_states)
    from hpcsweep.worker.inprocess import InProcess  # noqa: PLC0415  # few targets need it

    return InProcess(ends, random_states, obstacles, root)


# --- a process for each case ------------------------------------------------------------------


# What a user, a shell or Slurm sends to all processes of a job.
_JOB_SIGNALS = (
    *STOP_SIGNALS,
    *(signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGXCPU),
)


class ForkedCases:
    """Runs each case in a fork of its own."""

    def __init__(self, ends: Ends, random_states: RandomStates) -> None:
        self._ends, self._random_states = ends, random_states
        # Slurm's TERM reaches every process of a job: this one stays, to report how its case ended.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _JOB_SIGNALS)
        # Ignored, the kernel would not keep how a case ended.
        self._on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._files = OpenFiles(ends.descriptors)
        streams.flush()
        streams.reopen()  # whatever the import put in their place
        gc.freeze()  # a collection in a case must not touch, and so copy, what the import left

    def run(self, work: Work, request: dict[str, Any]) -> None:
        """Run a case, and send its answer and how its process ended."""
        try:
            fields, answer = self._fork_case(work, request)
        except OSError as error:  # no process, no memory, no descriptor is to be had
            refused = refusal(error)
            refused["error"]["message"] = (
                f"no process could be started for it: {refused['error']['message']}"
            )
            fields = {"status": 0, "cpu_seconds": None, "max_rss_bytes": None}
            answer = encode_answer(NOTHING | refused)
        send_reply(self._ends.replies, self._ends.token, fields, answer)

    def _fork_case(self, work: Work, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What is known of the end of a case's process, and its answer. *Raises* OSError."""
        answer, lifeline = anonymous_file(), _reopened(self._ends.lifeline)
        try:
            pid = os.fork()
            if pid == 0:
                self._run_in_fork(work, request, answer, lifeline)
            with contextlib.suppress(OSError):  # it did so itself
                os.setpgid(pid, pid)
            os.pwrite(self._ends.pid_file, b"%20d" % pid, 0)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(OSError):  # as a rule there is nothing
                os.killpg(pid, signal.SIGKILL)  # what it left behind
            _, status, usage = os.wait4(pid, 0)
            os.pwrite(self._ends.pid_file, b"%20s" % b"", 0)
            fields = {
                "status": status,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
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
                die_with_worker(lifeline)  # as long as the parent holds it
                gone = select.poll()
                gone.register(lifeline, 0)  # a hang-up is always reported
                if gone.poll(0):
                    os._exit(EXIT_BROKEN)
            for descriptor in (self._ends.requests, self._ends.replies, self._ends.pid_file):
                os.close(descriptor)
            if lifeline is not None:
                # There is /proc: nothing that the case writes to by mistake is its answer.
                os.close(answer)
            self._files.make_own()
            self._random_states.restore_in_fork()
            clear_exit_handlers()
            if self._on_child not in (None, signal.SIG_DFL):
                signal.signal(signal.SIGCHLD, self._on_child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            try:
                reply = work.run(request)
            except OSError as error:  # of our own: the user's are answers
                reply = NOTHING | refusal(error)
            if os.getpid() != own_pid:  # a fork of the user's that returned from the target
                os._exit(0)
            finish_process()
            if lifeline is not None:
                with contextlib.suppress(OSError):
                    os.close(0)  # the case may have used up all others
                answer = os.open(f"/proc/{parent}/fd/{answer}", os.O_WRONLY)
            write_all(answer, encode_answer(reply))
            os._exit(0)
        finally:  # it failed by itself: the task's output says how
            exit_broken(self._ends.task_stderr)


def exit_broken(task_stderr: int) -> NoReturn:
    """Exit with a line in the task's output: what the system refused, or where our code failed."""
    error = sys.exc_info()[1]
    text = traceback.format_exc()
    if isinstance(error, OSError):
        text = f"hpcsweep: the process of a case cannot go on: {one_line(error)}\n"
    try:
        os.write(task_stderr, text.encode(errors="backslashreplace"))
    finally:
        os._exit(EXIT_BROKEN)


def anonymous_file() -> int:
    """A new file without a name: its end is that of its last descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpcsweep")
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/hpcsweep-{token()}"  # noqa: S108
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    os.unlink(path)  # noqa: PTH108  # beside the open above
    return descriptor


def _reopened(lifeline: int) -> int | None:
    """The pipe opened once more, so that it has another owner; None where that cannot be."""
    try:
        return os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
