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
from hpcsweep.worker.function import encoded
from hpcsweep.worker.inherited import Chance, OpenFiles, finish, obstacles, only_own_endings
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
    how: _Forks | InProcess | None = None
    me = os.getpid()
    with os.fdopen(ends.requests, "rb", closefd=False) as lines:
        for line in lines:
            request = json.loads(line)
            if how is None:
                chance = Chance()
                found = work.load(request)
                if os.getpid() != me:  # a fork of the user's that came back out of the import
                    os._exit(0)
                send_reply(ends.replies, ends.token, found)
                chance.settle()
                why = obstacles()
                how = _shared(ends, chance, why, work.root) if why else _Forks(ends, chance)
            how.run(work, request)
    os._exit(0)


def _shared(ends: Ends, chance: Chance, why: list[str], root: Path) -> InProcess:
    from hpcsweep.worker.inprocess import InProcess  # noqa: PLC0415  # few targets need it

    return InProcess(ends, chance, why, root)


# --- a process for each case ------------------------------------------------------------------


# What a user, a shell or Slurm sends to all processes of a job.
_SENT = (
    *STOP_SIGNALS,
    *(signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGXCPU),
)


class _Forks:
    """Each case in a fork of its own."""

    def __init__(self, ends: Ends, chance: Chance) -> None:
        self._ends, self._chance = ends, chance
        # Slurm's TERM reaches every process of a job: this one stays, and tells how its case ended.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT)
        # Ignored, the kernel would not keep how a case ended.
        self._on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._files = OpenFiles(ends.descriptors)
        streams.flush()
        streams.reopen()  # whatever the import put in their place
        gc.freeze()  # a collection in a case must not touch, and so copy, what the import left

    def run(self, work: Work, request: dict[str, Any]) -> None:
        """Run a case and tell how its process ended."""
        try:
            said, told = self._in_a_fork(work, request)
        except OSError as error:  # no process, no memory, no descriptor is to be had
            why = refusal(error)
            why["error"]["message"] = (
                f"no process could be started for it: {why['error']['message']}"
            )
            said = {"status": 0, "cpu_seconds": None, "max_rss_bytes": None}
            told = encoded(NOTHING | why)
        send_reply(self._ends.replies, self._ends.token, said, told)

    def _in_a_fork(self, work: Work, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What is known of the end of a case's process, and its answer. *Raises* OSError."""
        answer, lifeline = nameless(), _another(self._ends.lifeline)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_the_case(work, request, answer, lifeline)
            with contextlib.suppress(OSError):  # it did so itself
                os.setpgid(pid, pid)
            os.pwrite(self._ends.pid_file, b"%20d" % pid, 0)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(OSError):  # as a rule there is nothing
                os.killpg(pid, signal.SIGKILL)  # what it left behind
            _, status, usage = os.wait4(pid, 0)
            os.pwrite(self._ends.pid_file, b"%20s" % b"", 0)
            said = {
                "status": status,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "max_rss_bytes": usage.ru_maxrss * 1024,
            }
            return said, os.pread(answer, min(os.fstat(answer).st_size, ANSWER_MAX), 0)
        finally:
            os.close(answer)
            if lifeline is not None:
                os.close(lifeline)

    def _be_the_case(
        self, work: Work, request: dict[str, Any], answer: int, lifeline: int | None
    ) -> NoReturn:
        me, parent = os.getpid(), os.getppid()
        try:
            os.setpgid(0, 0)
            if lifeline is not None:
                die_with_worker(lifeline)  # as long as the parent holds it
                gone = select.poll()
                gone.register(lifeline, 0)  # a hang-up is told always
                if gone.poll(0):
                    os._exit(EXIT_BROKEN)
            for descriptor in (self._ends.requests, self._ends.replies, self._ends.pid_file):
                os.close(descriptor)
            if lifeline is not None:
                # There is /proc: nothing that the case writes to by mistake is its answer.
                os.close(answer)
            self._files.make_own()
            self._chance.fork()
            only_own_endings()
            if self._on_child not in (None, signal.SIG_DFL):
                signal.signal(signal.SIGCHLD, self._on_child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            try:
                told = work.run(request)
            except OSError as error:  # of our own: the user's are answers
                told = NOTHING | refusal(error)
            if os.getpid() != me:  # a fork of the user's that came back out of the target
                os._exit(0)
            finish()
            if lifeline is not None:
                with contextlib.suppress(OSError):
                    os.close(0)  # the case may have used up all others
                answer = os.open(f"/proc/{parent}/fd/{answer}", os.O_WRONLY)
            write_all(answer, encoded(told))
            os._exit(0)
        finally:  # it broke by itself: the task's output says how
            broken(self._ends.task_stderr)


def broken(task_stderr: int) -> NoReturn:
    """End with a word in the task's output: a sentence of the system's, or where we broke."""
    error = sys.exc_info()[1]
    text = traceback.format_exc()
    if isinstance(error, OSError):
        text = f"hpcsweep: the process of a case cannot go on: {one_line(error)}\n"
    try:
        os.write(task_stderr, text.encode(errors="backslashreplace"))
    finally:
        os._exit(EXIT_BROKEN)


def nameless() -> int:
    """A new file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpcsweep")
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/hpcsweep-{token()}"  # noqa: S108
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    os.unlink(path)  # noqa: PTH108  # beside the open above
    return descriptor


def _another(lifeline: int) -> int | None:
    """The pipe opened once more, so that it has another owner; None where that cannot be."""
    try:
        return os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
