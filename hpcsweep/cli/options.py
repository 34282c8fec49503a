"""Options that several commands share, and what they mean together.

Every command's options are declared with these, so what they need is imported when it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hpcsweep.cluster.base import Cluster
    from hpcsweep.manifest.frozen import FrozenManifest
    from hpcsweep.settings import Profile, Settings
    from hpcsweep.sources import ParameterSource
    from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Settings, profile and `--set` of one call, merged once."""

    settings: Settings
    profile: Profile
    sets: dict[str, Any]

    @property
    def outputs(self) -> Path:
        """The directory that holds the sweep directories."""
        return Path(self.settings.outputs)

    def manifest(self, path: Path) -> tuple[FrozenManifest, ParameterSource]:
        """The manifest as it will be frozen."""
        from hpcsweep.manifest.user import load_manifest

        plugins = self.settings.plugin_options
        return load_manifest(
            path, overrides=self.sets, profile=self.profile, plugin_options=plugins
        )

    def sweep_path(self, manifest: FrozenManifest) -> Path:
        """Where the sweep of a manifest is, or will be."""
        return self.outputs / manifest.name

    def sweep(self, text: str) -> SweepDirectory:
        """The sweep that a SWEEP argument means."""
        from hpcsweep.sweepdir.locate import locate

        return locate(text, self.outputs)

    def cluster_of(self, sweep: SweepDirectory) -> Cluster | None:
        """The cluster that a sweep was sent to; None when it was sent to none."""
        from hpcsweep.cluster import registry

        return registry.recorded(sweep, self.settings)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --profile, --set and --outputs."""
    for option in (
        click.option(
            "--outputs", metavar="DIR", help="Where sweep directories are (default: outputs)."
        ),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a manifest key (slurm.time=01:00:00) or settings.KEY. Repeatable.",
        ),
        click.option(
            "--profile", metavar="NAME", help="A profile of ~/.config/hpcsweep/config.yaml."
        ),
    ):
        command = option(command)
    return command


def context(profile: str | None, sets: tuple[str, ...], outputs: str | None) -> Context:
    """Merge what `common` gave. *Raises* InputError."""
    from hpcsweep import settings as settings_module

    values = dict(map(settings_module.parse_set, sets))
    if outputs is not None:
        values["settings.outputs"] = outputs
    settings, found = settings_module.load(profile, values, os.environ)
    return Context(settings=settings, profile=found, sets=values)


manifest_argument = click.argument(
    "manifest", type=click.Path(path_type=Path, readable=False), metavar="MANIFEST"
)
sweep_argument = click.argument("sweep", metavar="SWEEP")
cluster_option = click.option(
    "--cluster",
    metavar="auto|slurm|emulated|submitit:EXECUTOR",
    help="Which cluster (default: auto, which is Slurm where sbatch is on PATH).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
script_option = click.option("--script", is_flag=True, help="Print the exact sbatch text.")
wait_option = click.option(
    "--wait", "waits", is_flag=True, help="Wait until nothing more will happen."
)
throttle_option = click.option(
    "--throttle",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="At most N array tasks at once.",
)
file_option = click.Path(path_type=Path, dir_okay=False)


def words(text: str | None) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
