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


def list_sweeps(
    directory: str | Path | None = None, *, refresh: bool = False, size: bool = True
) -> list[Overview]:
    """What is in a directory of sweeps: sweeps with their states, archives, and what is none.

    It reads the indexes as they are.

    Args:
        directory: The directory; by default `outputs`.
        refresh: Whether each index is brought up to date first, and each cluster asked.
        size: Whether it is measured what they take on disk.

    Raises:
        SweepError: If there is no such directory.

    Examples:
        >>> [(one.name, one.cases) for one in hs.list_sweeps() if one.name == "swing"]
        [('swing', 3)]
    """
    settings, _ = settings_module.load(None, {}, os.environ, registry.check_kind)
    root = outputs_in(Path(), settings.outputs) if directory is None else Path(directory)
    return overviews(root, settings, refresh=refresh, measure=size)


class WholeVerbs(SweepBase):
    """A sweep that is renamed, copied, archived, cleaned and removed as a whole.

    Nothing of it may run or wait; `clean` alone works beside its tasks.
    """

    def rename(self, name: str) -> None:
        """Give the sweep another name, in its place; its results, cases and seeds stay.

        Raises:
            SweepBusy: If something of it runs or waits.

        Examples:
            >>> copied = hs.Sweep(sweep.copy("renamed"))
            >>> copied.rename("pendulum")
            >>> copied.path.name
            'pendulum'
        """
        self._open(rename(self._directory, name, self._settings, _log.info))

    def copy(self, to: str | Path) -> str:
        """Copy the sweep; the copy is a sweep of its own.

        Args:
            to: A directory, or `HOST:DIR`, to which it goes by rsync over ssh.

        Returns:
            Where the copy is.

        Examples:
            >>> hs.Sweep(sweep.copy("backup")).status().n_cases
            3
        """
        return copy(self._directory, str(to), self._settings, _log.info)

    def archive(self, output: str | Path | None = None) -> Path:
        """Write the sweep into one tar, which `Sweep` reads as it reads its directory.

        Args:
            output: The tar; by default `NAME.tar`, here.

        Examples:
            >>> path = sweep.archive("swing-2026.tar")
            >>> hs.Sweep(str(path)).query(columns=["energy"], status="complete", limit=1)
            [{'energy': 0.5}]
        """
        path = Path(output or f"{self.name}.tar")
        return archive(self._directory, path, self._settings, _log.info)

    def clean(self, *, dry_run: bool = False) -> list[Removable]:
        """Remove what nothing needs; results and the files of every case stay.

        Args:
            dry_run: Whether nothing is removed.

        Returns:
            What was, or would be, removed.

        Examples:
            >>> copied = hs.Sweep(sweep.copy("cleaned"))
            >>> all(found.size_bytes >= 0 for found in copied.clean(dry_run=True))
            True
        """
        return clean(self._directory, self._settings, _log.info, dry_run=dry_run)

    def remove(self, *, force: bool = False) -> None:
        """Remove the sweep with all of its results, without asking.

        Args:
            force: Whether it is removed, too, if it is not known whether anything of it still runs.

        Raises:
            SweepBusy: If something of it runs or waits.

        Examples:
            >>> copied = hs.Sweep(sweep.copy("removed"))
            >>> copied.remove()
            >>> copied.path.exists()
            False
        """
        remove(self._directory, self._settings, _log.info, force=force)
