"""The options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hpcsweep.cli import completion

file_option = click.Path(path_type=Path, dir_okay=False)


def _log_to_stderr(ctx: click.Context, _: click.Parameter, count: int) -> None:
    if count and not ctx.resilient_parsing:
        from hpcsweep.cli import verbosity

        verbosity.to_stderr(ctx, count)


def _log_to_file(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        from hpcsweep.cli import verbosity

        verbosity.to_file(ctx, path)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --profile, --set, --outputs, --verbose and --log-file."""
    for option in (
        click.option(
            "--log-file",
            type=file_option,
            expose_value=False,
            callback=_log_to_file,
            help="Append the full log to this file.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_log_to_stderr,
            help="Log what happens on standard error; -vv also every poll and program.",
        ),
        click.option(
            "--outputs",
            metavar="DIR",
            help="Where sweep directories are (default: outputs, beside the manifest).",
        ),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a manifest key (slurm.time=01:00:00) or settings.KEY. Repeatable.",
        ),
        click.option(
            "--profile",
            metavar="NAME",
            help="A profile of ~/.config/hpcsweep/config.yaml.",
            shell_complete=completion.profiles,
        ),
    ):
        command = option(command)
    return command


manifest_argument = click.argument(
    "manifest", type=click.Path(path_type=Path, readable=False), metavar="MANIFEST"
)
sweep_argument = click.argument("sweep", metavar="SWEEP", shell_complete=completion.sweeps)
sweeps_argument = click.argument(
    "sweeps",
    metavar="SWEEP...",
    nargs=-1,
    required=True,
    shell_complete=completion.sweeps,
)
cluster_option = click.option(
    "--cluster",
    metavar="auto|slurm|pbs|emulated|submitit:EXECUTOR",
    help="Which cluster (default: auto, which is Slurm where sbatch is on PATH).",
    shell_complete=completion.clusters,
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


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --cases, --where, --status and --last, as the argument `selection`."""

    @functools.wraps(command)
    def with_selection(
        *arguments: Any,
        cases: str | None,
        where: str | None,
        statuses: str | None,
        last: int | None,
        **others: Any,
    ) -> Any:
        # Loads SQLAlchemy: no completion needs it.
        from hpcsweep.tables.selection import Selection

        # An empty text is no status: it comes from a variable that is not set, and means no case.
        status = () if statuses is None else tuple(map(str.strip, statuses.split(",")))
        selection = Selection(cases=cases, where=where, status=status, last=last)
        return command(*arguments, selection=selection, **others)

    for option in (
        click.option(
            "--last",
            type=click.IntRange(min=1),
            metavar="SUBMISSION",
            help="Only the cases whose last submission is this one.",
        ),
        click.option(
            "--status",
            "statuses",
            metavar="STATUS[,…]",
            help="Only the cases with these statuses.",
            shell_complete=completion.statuses,
        ),
        click.option(
            "--where",
            metavar="CONDITION",
            help="Only the cases for which this holds: 'omega < 3'.",
            shell_complete=completion.columns,
        ),
        click.option(
            "--cases",
            metavar="CASE[,…]|@FILE",
            help="Only these cases: indices, ranges, beginnings of case ids, or a file of them.",
        ),
    ):
        with_selection = option(with_selection)
    return with_selection


def words(text: str | None) -> tuple[str, ...]:
    """The entries of a list with commas."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
