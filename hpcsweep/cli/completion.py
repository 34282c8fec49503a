"""Complete the values of options in a shell.

A completion runs at every press of Tab: it reads settings and lists a directory, no more. An error
completes nothing and prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from hpcsweep.cli.context import configured_profiles, load_context
from hpcsweep.errors import HpcsweepError
from hpcsweep.records import Status

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LAST_WORD = re.compile(r"[\w.]*$")
# The kinds of `cluster.registry`, which is too slow to import here.
CLUSTERS = ("auto", "slurm", "pbs", "emulated", "submitit:local", "submitit:slurm")


def sweeps(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of sweeps; if none fits, files: a SWEEP is also a directory or a manifest."""
    from click.shell_completion import CompletionItem

    from hpcsweep.sweepdir.locate import sweep_names

    matching: list[str] = []
    with suppress(HpcsweepError):
        context = load_context(ctx.params.get("profile"), (), ctx.params.get("outputs"))
        matching = _matching(sweep_names(context.outputs()), incomplete)
    items = [CompletionItem(name) for name in matching]
    return items or [CompletionItem(incomplete, type="file")]


def clusters(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Kinds of clusters, with the two executors that submitit itself has."""
    return _matching(CLUSTERS, incomplete)


def profiles(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of profiles in the user's configuration."""
    with suppress(HpcsweepError):
        return _matching(configured_profiles(), incomplete)
    return []


def hosts(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of profiles that have a host."""
    from hpcsweep.settings import profile_host

    with suppress(HpcsweepError):
        return [name for name in _matching(configured_profiles(), incomplete) if profile_host(name)]
    return []


def statuses(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The last status of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + status for status in _matching(map(str, Status), last)]


def columns(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The last column of a list, a condition or a pivot, of the sweep that is named before it."""
    start = _LAST_WORD.search(incomplete)
    before, last = (incomplete[: start.start()], start[0]) if start else (incomplete, "")
    return [before + name for name in _matching(_columns_of(ctx), last)]


def _columns_of(ctx: click.Context) -> list[str]:
    from hpcsweep.sweepdir.locate import locate
    from hpcsweep.tables.column_names import known_names

    # click leaves the arguments there, since the option that is completed has no value yet.
    if not ctx.args:
        return []
    with suppress(HpcsweepError):
        context = load_context(ctx.params.get("profile"), (), ctx.params.get("outputs"))
        return known_names(locate(ctx.args[0], context.settings.outputs))
    return []


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
