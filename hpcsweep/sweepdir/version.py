"""One version of a sweep's manifest, with its cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.sources import ParameterSource


class Version:
    """A manifest and its cases."""

    def __init__(
        self, manifest: FrozenManifest, open_source: Callable[[], ParameterSource]
    ) -> None:
        self.manifest = manifest
        self._open_source = open_source

    @classmethod
    def read(cls, directory: Path) -> Version:
        """The one that was frozen there. *Raises* Damaged, SweepError."""
        manifest = frozen.read(directory)
        return cls(manifest, lambda: frozen.open_source(directory, manifest))

    @classmethod
    def of(cls, manifest: FrozenManifest, source: ParameterSource) -> Version:
        """One that may not be on disk yet. `source` is with replicates."""
        return cls(manifest, lambda: source)

    @property
    def fingerprint(self) -> str:
        """What names it in plans and journals."""
        return self.manifest.fingerprint

    @cached_property
    def source(self) -> ParameterSource:
        """Its cases, with replicates. Opened when first asked for: that may import user code.

        *Raises* Damaged, SweepError.
        """
        return self._open_source()
