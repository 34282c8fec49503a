"""The emulated Slurm: programs on PATH and a small scheduler, one per state directory.

`ensure` creates and starts one, `environment` puts its programs first on PATH; everything else goes
through the programs, like with a real cluster. Here: the configuration and control of a cluster,
and the modules that `daemon`, `programs` and `faults` share. Not here: parsers of Slurm's output,
which are in `cluster.slurm`.
"""

from __future__ import annotations

from hpcsweep.emulator.config import EmulatorConfig, Partition, Qos, from_json, load
from hpcsweep.emulator.control import (
    default_state_dir,
    describe,
    ensure,
    environment,
    exists,
    faults_since,
    is_running,
    order_fault,
    order_faults,
    run,
    stop,
)
from hpcsweep.emulator.faults.chance import KINDS, Fault
from hpcsweep.emulator.widening import widen

__all__ = [
    "KINDS",
    "EmulatorConfig",
    "Fault",
    "Partition",
    "Qos",
    "default_state_dir",
    "describe",
    "ensure",
    "environment",
    "exists",
    "faults_since",
    "from_json",
    "is_running",
    "load",
    "order_fault",
    "order_faults",
    "run",
    "stop",
    "widen",
]
