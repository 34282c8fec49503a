"""The emulated Slurm as a cluster: Slurm's programs in the `bin` of a state directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hpcsweep import emulator
from hpcsweep.cluster.base import Opening
from hpcsweep.cluster.slurm.client import Slurm


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulated(Slurm):
    """An emulated Slurm; it belongs to the user who can write its state directory."""

    state_dir: str

    @classmethod
    def open(cls, opening: Opening) -> Self:
        """The recorded one, or the user's own."""
        state_dir = opening.state_dir or str(emulator.default_state_dir())
        return cls(
            kind=opening.kind,
            timeout_s=opening.settings.command_timeout_s,
            sbatch_timeout_s=opening.settings.sbatch_timeout_s,
            environment=emulator.environment(Path(state_dir)),
            state_dir=state_dir,
        )

    @property
    def is_here(self) -> bool:
        """Whether its state directory exists and is writable."""
        return os.access(self.state_dir, os.W_OK)

    @property
    def is_own(self) -> bool:
        """Always: it has a single user."""
        return True

    @property
    def takes_faults(self) -> bool:
        """Always: its state directory holds orders for faults."""
        return True

    def start(self) -> None:
        """Start its scheduler. *Writes* the state directory."""
        emulator.ensure(Path(self.state_dir))

    def prepare(self, options: Mapping[str, str]) -> None:
        """Create what these options name, unless it is strict. *Writes* its configuration."""
        emulator.widen(Path(self.state_dir), options)
