"""The settings, profile and overridden keys that the common options select.

The methods import what they need when they are called: completions import this module, too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hpcsweep.cluster.base import Cluster
    from hpcsweep.manifest.frozen import FrozenManifest
    from hpcsweep.manifest.user import Expand
    from hpcsweep.settings import Profile, Settings
    from hpcsweep.sources import ParameterSource
    from hpcsweep.sweepdir.directory import SweepDirectory
    from hpcsweep.tables.sweep_cases import ManifestAfter


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Settings, profile and `--set` of one call, merged once."""

    settings: Settings
    profile: Profile
    sets: dict[str, Any]

    def outputs(self, root: Path = Path()) -> Path:
        """The directory that holds the sweeps of the manifests in `root`."""
        from hpcsweep.sweepdir.locate import outputs_in

        return outputs_in(root, self.settings.outputs)

    def directory(self, given: Path | None) -> Path:
        """The directory of sweeps that a DIR argument means: of a manifest, its outputs.

        *Raises* SweepError.
        """
        from hpcsweep.errors import SweepError
        from hpcsweep.sweepdir.locate import OUTPUTS, sweep_names

        root = given or self.outputs()
        if given is not None and not sweep_names(given) and (given / OUTPUTS).is_dir():
            root = given / OUTPUTS
        if root.is_dir():
            return root
        raise SweepError(
            "there is no such directory",
            where=str(root),
            next_step="`hpcsweep submit MANIFEST` makes sweeps; name the directory that has them.",
        )

    def manifest(self, path: Path) -> tuple[FrozenManifest, ParameterSource]:
        """The manifest as it will be frozen."""
        from hpcsweep.tables.sweep_cases import SweepCases

        with SweepCases(self.settings, path.parent) as cases:
            return self._load(path, cases.expand)

    def manifest_after(self, path: Path, other: SweepDirectory) -> ManifestAfter:
        """The manifest of a sweep that is sent when `other` is over."""
        from hpcsweep.tables.sweep_cases import SweepCases

        with SweepCases(self.settings, path.parent) as cases:
            return cases.read_after(partial(self._load, path), other)

    def _load(self, path: Path, expand: Expand) -> tuple[FrozenManifest, ParameterSource]:
        from hpcsweep.manifest.user import load_manifest

        return load_manifest(
            path,
            overrides=self.sets,
            profile=self.profile,
            plugin_options=self.settings.plugin_options,
            expand=expand,
        )

    def sweep_path(self, manifest: FrozenManifest, file: Path) -> Path:
        """The sweep directory of a manifest's file; it may not exist yet."""
        from hpcsweep.sweepdir.locate import place_of

        place = place_of(manifest.name, file.parent, self.settings.outputs)
        if place.notice:
            _print_notice(place.notice)
        return place.path

    def sweep(self, text: str, near: Path = Path()) -> SweepDirectory:
        """The sweep of a SWEEP argument; a name is looked up `near` a manifest first."""
        from hpcsweep.sweepdir.locate import locate

        return locate(text, self.settings.outputs, near, _print_notice)

    def cluster_of(self, sweep: SweepDirectory) -> Cluster | None:
        """The cluster that a sweep was submitted to; None if it was not submitted."""
        from hpcsweep.cluster import registry

        return registry.open_recorded(sweep, self.settings)


def load_context(profile: str | None, sets: tuple[str, ...], outputs: str | None) -> Context:
    """Merge the values of the common options. *Raises* InputError."""
    from hpcsweep import settings as settings_module

    values = dict(map(settings_module.parse_set, sets))
    if outputs is not None:
        values["settings.outputs"] = outputs
    settings, profile_keys = settings_module.load(profile, values, os.environ, _check_cluster)
    return Context(settings=settings, profile=profile_keys, sets=values)


def _print_notice(text: str) -> None:
    click.echo(text, err=True)


def _check_cluster(kind: object, where: str) -> None:
    from hpcsweep.cluster import registry

    registry.check_kind(kind, where)


def configured_profiles() -> list[str]:
    """The names of the user's profiles. *Raises* InputError."""
    from hpcsweep import settings as settings_module

    return settings_module.profile_names(os.environ)
