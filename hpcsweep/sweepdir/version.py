"""One version of a sweep's manifest, as it was frozen."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from hpcsweep.manifest import frozen
from hpcsweep.sources import ParameterSource


class Version:
    """A frozen manifest and its cases, each read once. *Raises* Damaged, SweepError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.manifest = frozen.read(directory)

    @property
    def fingerprint(self) -> str:
        """What names it in plans and journals."""
        return self.manifest.fingerprint

    @cached_property
    def source(self) -> ParameterSource:
        """Its cases, with replicates. Opened when first asked for: that may import user code."""
        return frozen.open_source(self._directory, self.manifest)
