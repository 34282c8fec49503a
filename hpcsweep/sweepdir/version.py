"""One version of a sweep's manifest, with its cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.sources import ParameterSource


class Version:
    """A manifest and its source, each read once."""

    def __init__(
        self, manifest: FrozenManifest, open_source: Callable[[], ParameterSource]
    ) -> None:
        self.manifest = manifest
        self._open_source = open_source

    @classmethod
    def read(cls, directory: Path) -> Version:
        """The frozen version in a directory. *Raises* Damaged, SweepError."""
        manifest = frozen.read(directory)
        return cls(manifest, lambda: frozen.open_source(directory, manifest))

    @classmethod
    def of(cls, manifest: FrozenManifest, source: ParameterSource) -> Version:
        """A version that may not be on disk yet. `source` includes replicates."""
        return cls(manifest, lambda: source)

    @property
    def fingerprint(self) -> str:
        """The name of this version in plans and journals."""
        return self.manifest.fingerprint

    @cached_property
    def source(self) -> ParameterSource:
        """The cases, with replicates. Opened on first use, which may import user code.

        *Raises* Damaged, SweepError.
        """
        return self._open_source()

    @property
    def cases_to_come(self) -> int:
        """Count of the cases that a search adds later; 0 without one."""
        search = self.manifest.policies.get("search")  # parsing it would load what no task needs
        if search is None:
            return 0
        whole: int = search["n"] * self.manifest.replicates
        return max(0, whole - self.source.n_cases)
