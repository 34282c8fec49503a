"""Values of options that a shell completes.

A person waits for these at every press of Tab: they read settings and list a directory, no more.
What cannot be found out is not completed, and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from hpcsweep.cli.context import configured_profiles, context
from hpcsweep.errors import HpcsweepError
from hpcsweep.records import Status

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Those of `cluster.registry`, which loads what each of them needs.
CLUSTERS = ("auto", "slurm", "emulated", "submitit:local", "submitit:slurm")


def sweeps(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of sweeps; where none fits, files: a directory or a manifest means a sweep, too."""
    from click.shell_completion import CompletionItem

    from hpcsweep.sweepdir.locate import sweep_names

    fitting: list[str] = []
    with suppress(HpcsweepError):
        here = context(ctx.params.get("profile"), (), ctx.params.get("outputs"))
        fitting = _fitting(sweep_names(here.outputs), incomplete)
    found = [CompletionItem(name) for name in fitting]
    return found or [CompletionItem(incomplete, type="file")]


def clusters(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Kinds of clusters; of submitit's executors those that it brings itself."""
    return _fitting(CLUSTERS, incomplete)


def profiles(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of profiles in the user's configuration."""
    with suppress(HpcsweepError):
        return _fitting(configured_profiles(), incomplete)
    return []


def statuses(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The last one of statuses with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + status for status in _fitting(map(str, Status), last)]


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
