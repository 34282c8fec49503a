"""The emulated Slurm: programs on PATH over a small scheduler, one state directory each.

`ensure` makes and starts one, `environment` puts its programs first on PATH; everything else goes
through the programs, as with a real cluster.
"""

from __future__ import annotations

from hpcsweep.emulator.config import EmulatorConfig, Partition
from hpcsweep.emulator.control import (
    default_state_dir,
    ensure,
    environment,
    is_running,
    stop,
)

__all__ = [
    "EmulatorConfig",
    "Partition",
    "default_state_dir",
    "ensure",
    "environment",
    "is_running",
    "stop",
]
