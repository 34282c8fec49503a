"""Allocations of salloc and srun: get one, wait for it, release it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client
from hpcsweep.emulator.programs import job_options, job_request, options
from hpcsweep.errors import ClusterUnavailable

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.01, 0.5
# The options that both programs have.
OPTIONS = (
    "account,A: acctg-freq: begin,b: !bb: !bbf: chdir,D: !cluster: !clusters,M: comment: "
    "contiguous constraint,C: core-spec,S: cores-per-socket: cpu-freq: !cpus-per-gpu: "
    "cpus-per-task,c: !deadline: delay-boot: dependency,d: distribution,m: exclude,x: exclusive:: "
    "extra-node-info,B: !gid: gpu-bind: gpu-freq: gpus,G: gpus-per-node: gpus-per-socket: "
    "gpus-per-task: gres: gres-flags: help,h hint: hold,H immediate,I:: job-name,J: licenses,L: "
    "mail-type: mail-user: mcs-label: mem: mem-bind: mem-per-cpu: mem-per-gpu: !mincpus: network: "
    "nice:: no-kill,k:: !nodefile,F: nodelist,w: nodes,N: ntasks,n: ntasks-per-core: "
    "!ntasks-per-gpu: ntasks-per-node: ntasks-per-socket: oversubscribe,s partition,p: power: "
    "!prefer: priority: profile: qos,q: quiet,Q reboot reservation: signal: sockets-per-node: "
    "spread-job switches: tasks-per-node>ntasks-per-node: thread-spec: threads-per-core: time,t: "
    "time-min: !tmp: !uid: use-min-nodes usage verbose,v version,V wait-all-nodes: wckey: "
)


class Allocation:
    """A job without a script that this process holds."""

    def __init__(self, state_dir: Path, job: int, *, quiet: bool) -> None:
        self._state_dir = state_dir
        self.job = job
        self.environment: dict[str, str] = {}
        self.is_over = False
        self._quiet = quiet

    def wait(self, patience_s: float | None) -> None:
        """Wait until it runs. *Raises* SystemExit if it ends before, or takes too long."""
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        self.announce(f"job {self.job} queued and waiting for resources")
        while True:
            answer = client.ask(self._state_dir, {"do": "allocation", "job": self.job})
            if answer.get("state") == "RUNNING":
                self.environment = answer["environment"]
                self.announce(f"job {self.job} has been allocated resources")
                return
            if answer.get("state") != "PENDING":
                self.is_over = True
                options.to_stderr(
                    f"{options.program_name()}: Job allocation {self.job} has been revoked"
                )
                raise SystemExit(1)
            if patience_s is not None and time.monotonic() - began > patience_s:
                options.fail(
                    options.program_name(),
                    "Unable to allocate resources: Immediate execution impossible, "
                    "insufficient priority",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _LAST_PAUSE_S)

    def announce(self, text: str) -> None:
        """Print a progress message, unless --quiet."""
        if not self._quiet:
            options.to_stderr(f"{options.program_name()}: {text}")

    def release(self, code: int, number: int) -> str:
        """End the job. Returns its final state."""
        if self.is_over:
            return ""
        self.is_over = True
        question = {"do": "allocation_end", "job": self.job, "code": code, "signal": number}
        try:
            return str(client.ask(self._state_dir, question)["state"])
        except ClusterUnavailable:
            return ""


@contextlib.contextmanager
def allocated(
    state_dir: Path, layer: job_options.Layer, name: str, holder: str, argv: list[str]
) -> Iterator[Allocation]:
    """A running allocation; it is released at the end of the block, also after an error."""
    program = options.program_name()
    question = job_request.question(layer, name, " ".join([program, *argv]))
    question["request"] |= {"client": holder, "client_pid": os.getpid(), "requeue": False}
    question["request"] |= {"stdout": "none", "stderr": "", "stdin": "", "array": ""}
    failed = "Unable to allocate resources: "
    if program == "salloc":
        failed = "Job submit/allocate failed: "
    question["test_only"] = "test-only" in layer
    answer = job_request.submit(state_dir, question, failed)
    if question["test_only"]:
        job_request.print_start_estimate(answer)
        raise SystemExit(0)
    allocation = Allocation(state_dir, answer["job"], quiet="quiet" in layer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        if program == "salloc":
            allocation.announce(f"Pending job allocation {allocation.job}")
        allocation.wait(_patience(layer))
        yield allocation
    finally:
        allocation.release(1, 0)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _patience(layer: dict[str, Any]) -> float | None:
    """--immediate[=SECONDS]; one second without a number, since Slurm decides at once."""
    if "immediate" not in layer:
        return None
    text = layer["immediate"]
    return float(text) if text.isdigit() and int(text) else 1.0
