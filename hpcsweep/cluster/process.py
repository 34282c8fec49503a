"""Start a cluster's programs and read their output; nothing else in the package does."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.program import signal_name
from hpcsweep.redact import redact

_log = logging.getLogger(__name__)

_PREFIX = re.compile(r"s[a-z]+: (error|fatal): ")
# A complaint is truncated to its last characters: the reason is at its end.
_COMPLAINT_CHARACTERS = 500
# Seconds without an answer after which `on_line` is called with an empty line.
QUIET_S = 2.5
# Seconds between two polls of a program whose pipes another process holds open.
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """The exit code and output of a program."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """Its standard error in one line, without the `program: error:` of each line."""
        lines = [_PREFIX.sub("", line.strip()) for line in self.stderr.splitlines() if line.strip()]
        text = "; ".join(lines)
        if len(text) > _COMPLAINT_CHARACTERS:
            text = f"… {text[-_COMPLAINT_CHARACTERS:]}"
        if self.returncode < 0:  # negative for a signal
            end = f"ended by {signal_name(-self.returncode)}"
            return f"{end}: {text}" if text else end
        return text or f"exit code {self.returncode}"


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float,
    on_line: Callable[[str], None] = lambda _: None,
    *,
    apart: bool = False,
) -> Answer:
    """Run one program to its end; with `apart`, Ctrl-C at our terminal does not reach it.

    `on_line` gets each line of standard error as it is printed, and an empty one if the program
    has not ended after `QUIET_S`. After the timeout the program is killed with its children.
    *Raises* ClusterUnavailable after the timeout, ClusterError if the program does not exist.
    """
    command, begun = redact(shlex.join(argv)), time.monotonic()
    _log.debug("starting %s", command)
    try:
        running = subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=apart,
            process_group=None if apart else 0,
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"there is no {argv[0]} on PATH",
            next_step="Run this where the scheduler's programs are, or use --cluster emulated.",
        ) from error
    except OSError as error:
        raise ClusterError(
            f"{argv[0]} cannot be run: {error.strerror}",
            next_step="Check this file: it is the first of its name on PATH.",
        ) from error
    try:
        answer = _collect(running, timeout_s, on_line)
    except subprocess.TimeoutExpired as error:
        raise ClusterUnavailable(
            f"{argv[0]} did not answer within {timeout_s:g} s",
            next_step="Try again later; the settings command_timeout_s and sbatch_timeout_s are "
            "how long to wait.",
        ) from error
    finally:
        _kill(running)
    seconds = time.monotonic() - begun
    _log.debug("%s: exit code %d after %.2f s", argv[0], answer.returncode, seconds)
    return answer


def _collect(
    running: subprocess.Popen[bytes], timeout_s: float, on_line: Callable[[str], None]
) -> Answer:
    """Read the output of a program until it ends. *Raises* TimeoutExpired."""
    begun = time.monotonic()
    is_reported = False
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as pipes:
        for pipe, text in ((running.stdout, out), (running.stderr, err)):
            if pipe is not None:
                pipes.register(pipe, selectors.EVENT_READ, text)
        passed_on = 0
        while pipes.get_map():
            waited = time.monotonic() - begun
            if waited >= timeout_s:
                raise subprocess.TimeoutExpired(running.args, timeout_s)
            if waited >= QUIET_S and not is_reported:
                is_reported = True
                on_line("")
            has_ended = running.poll() is not None
            ready = pipes.select(_POLL_S)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                key.data.extend(data)
                if not data:
                    pipes.unregister(key.fileobj)
            while (end := err.find(b"\n", passed_on)) >= 0:
                on_line(err[passed_on:end].decode(errors="replace"))
                passed_on = end + 1
            if has_ended and not ready:  # background processes of a wrapper hold them open
                break
    running.wait(max(0.0, timeout_s - (time.monotonic() - begun)))
    return Answer(running.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _kill(running: subprocess.Popen[bytes]) -> None:
    """Kill a program that timed out, with its children: a wrapper's sbatch would continue."""
    if running.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    for pipe in (running.stdout, running.stderr):
        if pipe is not None:
            pipe.close()
