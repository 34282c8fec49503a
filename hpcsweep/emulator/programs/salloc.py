"""salloc: an allocation, and a command or the user's shell in it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from hpcsweep.emulator.jobs import NO_SHELL
from hpcsweep.emulator.programs import job_allocation, job_options, options

TABLE = options.table(
    job_allocation.OPTIONS + "!bell !get-user-env:: !kill-command,K:: no-bell no-shell overcommit,O"
)
# Variables of batch scripts and steps only.
_NOT_HERE = frozenset(
    {
        *("ENVIRONMENT", "HOSTNAME", "SLURMD_NODENAME", "SLURM_CPUS_ON_NODE", "SLURM_GTIDS"),
        *("SLURM_JOB_GID", "SLURM_JOB_UID", "SLURM_JOB_USER", "SLURM_LOCALID", "SLURM_NODEID"),
        *(
            "SLURM_PRIO_PROCESS",
            "SLURM_PROCID",
            "SLURM_TOPOLOGY_ADDR",
            "SLURM_TOPOLOGY_ADDR_PATTERN",
        ),
        *("SLURM_WORKING_CLUSTER", "TMPDIR"),
    }
)


def main(state_dir: Path, argv: list[str]) -> int:
    """Run a command in an allocation. Returns its exit code."""
    reader = options.Getopt("salloc", TABLE, exit_code=255)
    pairs, command = reader.read(argv, operands_last=True)
    layer = job_options.layer_of(pairs)
    if options.print_information("salloc", "[command [args...]]", TABLE, layer):
        return 0
    holder = NO_SHELL if "no-shell" in layer else "salloc"
    name = NO_SHELL if holder == NO_SHELL else "interactive"
    with job_allocation.allocated(state_dir, layer, name, holder, argv) as allocation:
        allocation.announce(f"Granted job allocation {allocation.job}")
        if holder == NO_SHELL:
            allocation.is_over = True  # it stays when this program ends
            return 0
        code = _run(command or [os.environ.get("SHELL") or "/bin/sh"], allocation, layer)
        allocation.announce(f"Relinquishing job allocation {allocation.job}")
        allocation.release(max(0, code), max(0, -code))
    return code if code >= 0 else 128 - code


def _run(
    command: list[str], allocation: job_allocation.Allocation, layer: job_options.Layer
) -> int:
    variables = {key: text for key, text in allocation.environment.items() if key not in _NOT_HERE}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command as well
    try:
        return subprocess.run(
            command, env=os.environ | variables, cwd=layer.get("chdir"), check=False
        ).returncode
    except OSError as error:
        options.to_stderr(
            f"salloc: error: _fork_command: Unable to exec {command[0]}: {error.strerror}"
        )
        return 1
