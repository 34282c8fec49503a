"""Signal the processes of a job: all, the batch shell, or the steps of srun."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hpcsweep.emulator import names, processes
from hpcsweep.emulator.daemon.steps import Steps
from hpcsweep.emulator.jobs import Job


def processes_of(job: Job) -> list[processes.Process]:
    """The processes of a job; for an allocation the descendants of its client."""
    if job.request.client:
        return processes.below(processes.Process(job.pid, 0, 0, job.birth))
    return processes.of_job(job.pid, job.birth)


def marked(job: Job, state_dir: Path) -> list[processes.Process]:
    """The processes with the job's environment, also those that left its session."""
    conf = os.fsencode(state_dir / names.SLURM_CONF)
    return processes.marked((b"SLURM_CONF=" + conf, b"SLURM_JOB_ID=%d" % job.id))


def send_to_all(job: Job, *signals: int) -> None:
    """Send signals to every process of the job."""
    processes.send(processes_of(job), *signals)


def send_to_shell(job: Job, *signals: int) -> None:
    """Send signals to the batch shell only."""
    shell = [process for process in processes.of_job(job.pid, job.birth) if process.pid == job.pid]
    processes.send(shell, *signals)


def send_to_steps(job: Job, steps: Steps, *signals: int) -> None:
    """Send signals to the processes of all steps, not to srun or the batch script."""
    for step in steps.living(job.id):
        if step.srun:
            processes.send(processes.below(step.srun), *signals)


def warn(job: Job, steps: Steps) -> None:
    """Send the signal of --signal: with `B:` only to the batch shell, else only to the steps."""
    request = job.request
    if job.state != "RUNNING" or not request.signal:
        return
    if request.signal_batch:
        send_to_shell(job, signal.SIGCONT, request.signal)
    else:
        send_to_steps(job, steps, signal.SIGCONT, request.signal)
