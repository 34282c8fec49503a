"""The cases of a task: read here, or made by a child where that needs the user's code.

The worker itself never imports it (DESIGN invariant 17): what a function of the user's does to its
process costs the case that it was to make.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Protocol

from hpcsweep.execute import child
from hpcsweep.execute.slot import Ended, Serve, Slot
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import ParamCase, Reason
from hpcsweep.sources.reading import needs_user_code


class NewSlot(Protocol):
    """Makes a slot of the task."""

    def __call__(self, *, serve: Serve | None = None) -> Slot:
        """A slot whose child does what `serve` says."""


class Cases:
    """The cases of a frozen manifest, by index."""

    def __init__(self, directory: Path, manifest: FrozenManifest) -> None:
        self.count: int = manifest.source["total_cases"] * manifest.replicates
        # How the first case ended that could not be made.
        self.unmade: Ended | None = None
        self._source = None
        if not needs_user_code(manifest.source):
            self._source = frozen.open_source(directory, manifest)
        self._serve = partial(child.serve_cases, directory)
        self._slot: Slot | None = None

    def use(self, new_slot: NewSlot) -> None:
        """Make cases in such a slot, if any needs one."""
        if self._source is None:
            self._slot = new_slot(serve=self._serve)

    def made(self, index: int) -> ParamCase | None:
        """The case of an index; None where it cannot be made, which is told and noted."""
        if self._source is not None:
            return self._source[index]
        if self._slot is None:
            return None
        ended = self._slot.run(child.Wanted(index=index))
        if ended.reason is None:
            return ParamCase(**ended.metrics | {"tags": tuple(ended.metrics["tags"])})
        if ended.reason is not Reason.TERMINATED:
            self.unmade = self.unmade or ended
            message = (ended.error or {}).get("message", ended.reason.value)
            sys.stderr.write(f"hpcsweep: index {index} cannot be made: {message}\n")
        return None

    def close(self) -> None:
        """End the child, if there is one."""
        if self._slot is not None:
            self._slot.close()
