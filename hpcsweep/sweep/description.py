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
from hpcsweep.errors import InputError
from hpcsweep.html_table import facts_html
from hpcsweep.manifest.from_python import document_of
from hpcsweep.manifest.frozen import named
from hpcsweep.manifest.generated_files import write_generated
from hpcsweep.manifest.validated import Validated, validated
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.seedplan import SeededCase
from hpcsweep.submission.local_run import LocalRun, run_here
from hpcsweep.submission.next_batch import version_at
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweepdir import locate
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.sweep_cases import SweepCases
from hpcsweep.worker.local import index_of

if TYPE_CHECKING:
    from hpcsweep.manifest.mistakes import Mistakes
    from hpcsweep.tables.sweep_cases import Read


class SweepDescription(SweepBase):
    """A sweep with its manifest and its cases. *Writes* nothing."""

    name: str

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
        """Describe a sweep by its source and target, by a manifest, or by the name that it has.

        Args:
            name: The name; alone it is that of a sweep that was submitted before, or its directory
                or archive.
            source: The cases: a parameter source, or the mapping that a manifest has.
            manifest: A manifest, instead of all that a manifest says.
            root: What relative paths of the target start from.
            cluster: Which cluster, as `--cluster` names it.
            profile: A profile of `~/.config/hpcsweep/config.yaml`.
            sets: Dotted keys that override the manifest, or settings, as `--set`.
            keys: Keys of a manifest: `target`, which may be a function, or `command`, `replicates`,
                `seed`, `setup`, `slurm`, `chunk` and so on.

        Raises:
            ManifestError: For a manifest with mistakes.
            SweepError: For a name that no sweep has.
        """
        values = dict(sets or {})
        self._settings, profile_keys = settings_module.load(
            profile, values, os.environ, registry.check_kind
        )
        plugins = self._settings.plugin_options
        self._cluster, self._profile = cluster, profile_keys
        self._submitted = None
        # The sweep whose cases those of this one are, while it is not over.
        self._awaited: SweepDirectory | None = None
        # Files of what is in Python, which are not written before something reads them.
        self._generated: Mapping[str, bytes] = {}
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
        # pydantic and the keys of manifests: 100 ms, which whoever reads results is spared.
        from hpcsweep.manifest.user import resolve  # noqa: PLC0415

        self._generated = document.generated
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
        """Count of cases with replicates.

        Examples:
            >>> hs.Sweep("s", hs.grid(x=[1, 2]), target="math:sqrt", replicates=3).n_cases
            6
        """
        return self._version.source.n_cases

    @property
    def path(self) -> Path:
        """The sweep directory, which may not exist yet.

        Examples:
            >>> str(hs.Sweep("s", hs.grid(x=[1, 2]), target="math:sqrt").path)
            'outputs/s'
        """
        if self._submitted is not None:
            return self._submitted.path
        return self._place.path

    def case(self, index: int) -> SeededCase:
        """A case as its target gets it.

        Raises:
            IndexError: For an index that the source does not have.

        Examples:
            >>> case = sweep.case(1)
            >>> case.params
            {'dt': 0.01, 'omega': 2.0}
            >>> case.stream("noise").random() == sweep.case(1).stream("noise").random()
            True
        """
        return SeededCase.of(self._version.source[index], self._version.manifest.seed)

    def validate(self) -> Validated:
        """What the check of the manifest found, which the constructor has made.

        Examples:
            >>> found = sweep.validate()
            >>> found.n_cases, found.target
            (3, 'model.py:simulate')
        """
        version = self._version
        return validated(version.manifest, version.source)

    def run(
        self,
        index: int | None = None,
        *,
        case: str | None = None,
        notify: Notify | None = print_notice,
    ) -> LocalRun:
        """Run one case here, with the seed that it has on the cluster, in a child.

        Journals and index do not change; the run directory is apart from those of the sweep.

        Args:
            index: Which case.
            case: Which case, by the beginning of its case id.
            notify: Is called with notices; None keeps it silent.

        Raises:
            InputError: For a case that the source does not have.
            TargetError: If a setup line fails, or the child ends without an outcome.

        Examples:
            >>> done = sweep.run(1)
            >>> done.is_complete, done.metrics
            (True, {'energy': 2.0})
            >>> sweep.run(2).outcome.error["message"]
            'the step is too long for this frequency'
        """
        if (index is None) == (case is None):
            raise InputError("a run is of one case", where="run", next_step="Give index or case.")
        self._write_generated()
        number = index_of(self._version.source, case) if case is not None else index or 0
        return run_here(self._version, number, self.path.parent, logged(notify))

    def _write_generated(self) -> None:
        """Write the files of functions and objects of Python."""
        write_generated(self._root, self._generated)

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

    def _repr_html_(self) -> str:
        # Of the described cases: a notebook shows it without a query to any cluster.
        version = self._version
        return facts_html(
            f"Sweep {self.name}",
            [
                ("cases", version.source.n_cases),
                ("target", version.manifest.target.text),
                ("seed", version.manifest.seed),
                ("path", self.path),
                ("submitted", "yes" if self.is_submitted else "no"),
            ],
        )

    def __repr__(self) -> str:
        return f"<Sweep {self.name!r} in {self.path}>"
