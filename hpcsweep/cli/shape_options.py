"""The options that put cases together: means over some of them, and a pivot."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.options import words


def shape_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --mean-over, --group-by, --stats and --pivot, as the argument `shape`."""

    @functools.wraps(command)
    def with_shape(
        *arguments: Any,
        mean_over: str | None,
        group_by: str | None,
        stats: str | None,
        pivot: str | None,
        **others: Any,
    ) -> Any:
        # Loads SQLAlchemy: no completion needs it.
        from hpcsweep.tables.shape import Shape

        shape = Shape(
            mean_over=words(mean_over), group_by=words(group_by), stats=words(stats), pivot=pivot
        )
        return command(*arguments, shape=shape, **others)

    for option in (
        click.option(
            "--pivot",
            metavar="ROWS,COLUMNS:CELL",
            help="A table of one value over two params: 'omega,dt:energy'.",
            shell_complete=completion.columns,
        ),
        click.option(
            "--stats",
            metavar="NAME[,…]",
            help="Of mean,sd,n (default), median,q1,q3,min,max.",
        ),
        click.option(
            "--group-by",
            metavar="COLUMN[,…]",
            help="Means of the complete cases that have the same values here.",
            shell_complete=completion.columns,
        ),
        click.option(
            "--mean-over",
            metavar="PARAM[,…]",
            help="Means of the complete cases that differ only here: 'replicate'.",
            shell_complete=completion.columns,
        ),
    ):
        with_shape = option(with_shape)
    return with_shape
