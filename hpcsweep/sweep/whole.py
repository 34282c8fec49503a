"""The verbs for a sweep as a whole: rename, copy, archive, clean, remove; and a list of sweeps."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from hpcsweep import settings as settings_module
from hpcsweep.cluster import registry
from hpcsweep.project.archiving import archive
from hpcsweep.project.cleaning import Removable, clean
from hpcsweep.project.copying import copy
from hpcsweep.project.remove import remove
from hpcsweep.project.rename import rename
from hpcsweep.state.overview import Overview, overviews
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweepdir.locate import outputs_in

_log = logging.getLogger(__name__)


def list_sweeps(directory: str | Path | None = None, *, refresh: bool = False) -> list[Overview]:
    """What is in a directory of sweeps, by default `outputs`; see `hpcsweep list`.

    It reads the indexes as they are; `refresh` brings them up to date and asks the clusters first.
    """
    settings, _ = settings_module.load(None, {}, os.environ, registry.check_kind)
    root = outputs_in(Path(), settings.outputs) if directory is None else Path(directory)
    return overviews(root, settings, refresh=refresh)


class WholeVerbs(SweepBase):
    """A sweep that is renamed, copied, archived, cleaned and removed as a whole.

    Nothing of it may run or wait; `clean` alone works beside its tasks.
    """

    def rename(self, name: str) -> None:
        """Give the sweep another name, in its place; see `hpcsweep rename`."""
        self._open(rename(self._directory, name, self._settings, _log.info))

    def copy(self, to: str | Path) -> str:
        """Copy the sweep into a directory, or `HOST:DIR`; see `hpcsweep copy`. Returns where."""
        return copy(self._directory, str(to), self._settings, _log.info)

    def archive(self, output: str | Path | None = None) -> Path:
        """Write the sweep into one tar, by default `NAME.tar`; `Sweep("NAME.tar")` reads it."""
        path = Path(output or f"{self.name}.tar")
        return archive(self._directory, path, self._settings, _log.info)

    def clean(self, *, dry_run: bool = False) -> list[Removable]:
        """Remove what nothing needs, or with `dry_run` nothing; see `hpcsweep clean`."""
        return clean(self._directory, self._settings, _log.info, dry_run=dry_run)

    def remove(self, *, force: bool = False) -> None:
        """Remove the sweep with all of its results, without asking; see `hpcsweep rm`."""
        remove(self._directory, self._settings, _log.info, force=force)
