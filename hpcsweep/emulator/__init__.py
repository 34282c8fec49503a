"""The emulated Slurm: programs on PATH over a small scheduler, one state directory each.

`ensure` makes and starts one, `environment` puts its programs first on PATH; everything else goes
through the programs, as with a real cluster. In here: the knobs and the life of a cluster, and the
floor that `daemon`, `programs` and `faults` share. Not in here: anything that parses the output
of Slurm, which is `cluster.slurm`'s.
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
