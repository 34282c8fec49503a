"""The child of a slot: imports the user's code once, then forks a process for each case.

So every case begins with what the import left, whichever cases ran before it. A command needs no
import: its child becomes it.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from hpcsweep import target
from hpcsweep.files import PRIVATE_FILE, names, token, write_all
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.worker import streams
from hpcsweep.worker.function import NOTHING, Answer, encoded
from hpcsweep.worker.inherited import Chance, OpenFiles, finish, obstacles, only_own_endings
from hpcsweep.worker.messages import ANSWER_MAX, Request, refusal, sentence, tell
from hpcsweep.worker.signals import TOLD_TO_END

if TYPE_CHECKING:
    from hpcsweep.worker.inprocess import Sharing

# The child's own exit code when it cannot even report; a shell uses 126 and 127 in this way.
EXIT_BROKEN = 125
EXIT_CANNOT_EXECUTE = 126
EXIT_NOT_FOUND = 127
DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


class Work(Protocol):
    """What a persistent child does for the worker."""

    # Below it is the user's code.
    root: Path

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the user's code, for a first request; what the worker is to know of it.

        Never raises: what the import raised is the answer of every case.
        """

    def run(self, request: dict[str, Any]) -> Answer:
        """Do what is requested, in the process that is the case's own."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The child's ends of what it shares with its worker."""

    # Pipes.
    requests: int
    replies: int
    # Its hang-up says that the worker is gone.
    lifeline: int
    # What each message begins with.
    token: bytes
    # The task's own standard error.
    complaints: int
    # A file that holds the process of the case that runs, if it has one of its own.
    slate: int


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


def serve(work: Work, ends: Ends) -> NoReturn:
    """Run cases until the worker closes its end."""
    how: _Forks | Sharing | None = None
    me = os.getpid()
    with os.fdopen(ends.requests, "rb", closefd=False) as lines:
        for line in lines:
            request = json.loads(line)
            if how is None:
                chance = Chance()
                found = work.load(request)
                if os.getpid() != me:  # a fork of the user's that came back out of the import
                    os._exit(0)
                tell(ends.replies, ends.token, found)
                chance.settle()
                why = obstacles()
                how = _shared(ends, chance, why, work.root) if why else _Forks(ends, chance)
            how.run(work, request)
    os._exit(0)


def _shared(ends: Ends, chance: Chance, why: list[str], root: Path) -> Sharing:
    from hpcsweep.worker.inprocess import Sharing  # noqa: PLC0415  # few targets need it

    return Sharing(ends, chance, why, root)


# --- a process for each case ------------------------------------------------------------------


# What a user, a shell or Slurm sends to all processes of a job.
_SENT = (
    *TOLD_TO_END,
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
        mine = {ends.requests, ends.replies, ends.lifeline, ends.complaints, ends.slate}
        self._files = OpenFiles(mine)
        streams.flush()
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
        tell(self._ends.replies, self._ends.token, said, told)

    def _in_a_fork(self, work: Work, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What is known of the end of a case's process, and its answer. *Raises* OSError."""
        answer, lifeline = nameless(), _another(self._ends.lifeline)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_the_case(work, request, answer, lifeline)
            with contextlib.suppress(OSError):  # it did so itself
                os.setpgid(pid, pid)
            os.pwrite(self._ends.slate, b"%20d" % pid, 0)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(OSError):  # as a rule there is nothing
                os.killpg(pid, signal.SIGKILL)  # what it left behind
            _, status, usage = os.wait4(pid, 0)
            os.pwrite(self._ends.slate, b"%20s" % b"", 0)
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
            for descriptor in (self._ends.requests, self._ends.replies, self._ends.slate):
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
            broken(self._ends.complaints)


def broken(complaints: int) -> NoReturn:
    """End with a word in the task's output: a sentence of the system's, or where we broke."""
    error = sys.exc_info()[1]
    text = traceback.format_exc()
    if isinstance(error, OSError):
        text = f"hpcsweep: the process of a case cannot go on: {sentence(error)}\n"
    try:
        os.write(complaints, text.encode(errors="backslashreplace"))
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


# --- a command --------------------------------------------------------------------------------


def execute(manifest: FrozenManifest, request: Request) -> None:
    """Become the command of one case. Returns only when it cannot: the caller exits."""
    places = {
        "run_dir": request.run_dir or "",
        "seed": str(request.seed),
        "case_id": request.case_id,
        "index": str(request.index),
        "params_json": json.dumps(request.params, ensure_ascii=False),
    }
    if request.result_file is not None:
        places["result_file"] = request.result_file
    argv = target.command_line(manifest.target, request.params, places, request.written)
    environment = os.environ | {
        "HPCSWEEP_RUN_DIR": places["run_dir"],
        "HPCSWEEP_CASE_ID": request.case_id,
        "HPCSWEEP_INDEX": places["index"],
        "HPCSWEEP_SEED": places["seed"],
        "HPCSWEEP_CHECKPOINTS": request.checkpoints,
    }
    streams.capture(request.run_dir, (1, 2))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; a program expects them
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.chdir(manifest.root)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        _complain(f"{error.filename or argv[0]}: {error.strerror}{_why(argv)}")
        missing = isinstance(error, FileNotFoundError)
        os._exit(EXIT_NOT_FOUND if missing else EXIT_CANNOT_EXECUTE)
    except ValueError as error:  # an argument with a NUL, which would end it there
        _complain(f"an argument cannot be given to a program: {error}")
        os._exit(EXIT_CANNOT_EXECUTE)


def _why(argv: Sequence[str]) -> str:
    """More than `execve` says of a program that is there."""
    from hpcsweep import executable  # noqa: PLC0415  # for those that cannot be started

    why = executable.named_problem(argv)
    return "" if why is None else f": {why[0]}. {why[1]}"


def _complain(message: str) -> None:
    os.write(2, f"hpcsweep: {message}\n".encode(errors="backslashreplace"))
