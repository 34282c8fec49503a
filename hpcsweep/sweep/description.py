"""What a sweep is made of: a source and a target, a manifest, or what was submitted before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import settings as settings_module
from hpcsweep import yamltext
from hpcsweep.cluster import registry
from hpcsweep.manifest.from_python import document_of
from hpcsweep.manifest.frozen import named
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.user import resolve
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.seedplan import SeededCase
from hpcsweep.submission.next_batch import version_at
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweepdir import locate
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.sweep_cases import SweepCases

if TYPE_CHECKING:
    from hpcsweep.tables.sweep_cases import Read


class SweepDescription(SweepBase):
    """A sweep with its manifest and its cases. *Writes* nothing."""

    def __init__(
        self,
        name: str | None = None,
        source: ParameterSource | Mapping[str, Any] | None = None,
        *,
        manifest: str | Path | None = None,
        root: str | Path = ".",
        cluster: str | None = None,
        profile: str | None = None,
        sets: Mapping[str, Any] | None = None,
        **keys: Any,
    ) -> None:
        """Describe a sweep by `name`, `source` and the keys of a manifest, or by a `manifest`.

        The keys are target or command, replicates, seed, setup, slurm, chunk and so on; `target`
        may be a function, and a source the mapping that a manifest has. `root` is what relative
        paths of the target start from. `sets` are the dotted keys of `--set`. With a name alone
        it is the sweep that was submitted before.
        """
        values = dict(sets or {})
        self._settings, profile_keys = settings_module.load(
            profile, values, os.environ, registry.check_kind
        )
        plugins = self._settings.plugin_options
        self._cluster = cluster
        self._submitted = None
        # The sweep whose cases those of this one are, while it is not over.
        self._awaited: SweepDirectory | None = None
        # The directory whose `outputs` the sweep is in.
        self._near = Path() if manifest is None else Path(manifest).parent
        if manifest is not None:
            path = Path(manifest)
            document = yamltext.load(path)
        elif source is None and not keys:
            self._open(locate.locate(name or "", self._settings.outputs))
            return
        else:
            path = Path(root) / "-"
            document = document_of(name, source, keys, Path(root))
        self._read: Read = partial(resolve, document, path, values, profile_keys, plugins)
        self._root = path.parent
        with SweepCases(self._settings, self._root) as cases:

            def expand(source: Any, mistakes: Mistakes) -> Any:
                self._awaited = cases.unfinished(source)
                if self._awaited is None:
                    return cases.expand(source, mistakes)
                return cases.stand_in(source, self._awaited, mistakes)

            self._described = Version.of(*self._read(expand))
        self.name = self._described.manifest.name

    def _open(self, sweep: SweepDirectory) -> None:
        newest = sweep.newest()
        described = named(newest.manifest, sweep.name), newest.source
        self._submitted, self.name = sweep, sweep.name
        self._root, self._read = Path(newest.manifest.root), lambda _: described
        self._described = Version.of(*described)

    @property
    def n_cases(self) -> int:
        """Count of cases with replicates."""
        return self._version.source.n_cases

    def case(self, index: int) -> SeededCase:
        """A case as its target gets it: `sweep.case(3).stream("noise")`. *Raises* IndexError."""
        return SeededCase.of(self._version.source[index], self._version.manifest.seed)

    @property
    def path(self) -> Path:
        """The sweep directory, which may not exist yet."""
        if self._submitted is not None:
            return self._submitted.path
        return self._place.path

    @property
    def _place(self) -> locate.Place:
        return locate.place_of(self.name, self._near, self._settings.outputs)

    @property
    def _version(self) -> Version:
        """The manifest with its cases. *Raises* ManifestError while another sweep has to end."""
        if self._awaited is not None:
            with SweepCases(self._settings, self._root) as cases:
                self._described = Version.of(*self._read(cases.expand))
            self._awaited = None
        return version_at(self._described, self.path)

    def __repr__(self) -> str:
        return f"<Sweep {self.name!r} in {self.path}>"
