"""What the verbs of a sweep have in common: its directory, its settings, its cluster."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.settings import Settings
from hpcsweep.sweepdir import locate
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.tables.selection import Selection, selected_cases


class SweepBase:
    """A sweep that was submitted, or will be."""

    name: str
    _settings: Settings
    # The directory whose `outputs` the sweep is in.
    _near: Path
    # None before its first submission.
    _submitted: SweepDirectory | None

    @property
    def path(self) -> Path:
        """The sweep directory, which may not exist yet."""
        raise NotImplementedError

    @property
    def is_submitted(self) -> bool:
        """Whether something was submitted.

        Examples:
            >>> sweep.is_submitted
            True
        """
        return self._submitted is not None or (self.path / MARKER).is_file()

    def _open(self, sweep: SweepDirectory) -> None:
        """Be the sweep in a directory. *Raises* SweepError before its first submission."""
        raise NotImplementedError

    @property
    def _directory(self) -> SweepDirectory:
        if self._submitted is None:
            if not self.is_submitted and not self.path.exists():
                raise SweepError(
                    "nothing was submitted yet",
                    where=str(self.path),
                    next_step="Call `submit()` first.",
                )
            self._submitted = SweepDirectory.open(self.path)
        return self._submitted

    @property
    def _recorded_cluster(self) -> Cluster | None:
        """The cluster of its submissions; None before the first one."""
        return registry.open_recorded(self._directory, self._settings)

    def _other(self, other: SweepBase | str | Path) -> SweepDirectory:
        """Another sweep, or the one of this name or directory. *Raises* SweepError."""
        if isinstance(other, SweepBase):
            return other._directory  # noqa: SLF001  # of our own
        return locate.locate(str(other), self._settings.outputs, self._near)

    def _beside(self, other: SweepBase | str | Path) -> list[tuple[SweepDirectory, Cluster | None]]:
        """This sweep and another one, with their clusters."""
        another = self._other(other)
        return [self._on_cluster, (another, registry.open_recorded(another, self._settings))]

    @property
    def _on_cluster(self) -> tuple[SweepDirectory, Cluster | None]:
        return self._directory, self._recorded_cluster

    def _selected(self, selection: Selection) -> IndexSet | None:
        """The selected indices of what was submitted; None for all. *Raises* InputError."""
        sweep = self._directory
        return selected_cases(selection, sweep.newest(), sweep.path) if selection else None
