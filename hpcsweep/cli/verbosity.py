"""`-v` and `--log-file`: attach handlers to the logger `hpcsweep` for one command."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from hpcsweep.redact import redact

LOGGER = logging.getLogger("hpcsweep")


class _Formatter(logging.Formatter):
    """One line per record, with the time and without secrets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def to_stderr(ctx: click.Context, count: int) -> None:
    """Log on standard error: what happens (1), or also every poll and program (2)."""
    _attach(ctx, logging.StreamHandler(sys.stderr), logging.INFO if count == 1 else logging.DEBUG)


def to_file(ctx: click.Context, path: Path) -> None:
    """Append all records to a file. *Raises* OSError."""
    _attach(ctx, logging.FileHandler(path, encoding="utf-8"), logging.DEBUG)


def _attach(ctx: click.Context, handler: logging.Handler, level: int) -> None:
    """Add a handler until the command ends."""
    before = LOGGER.level

    def detach() -> None:
        LOGGER.setLevel(before)
        LOGGER.removeHandler(handler)
        handler.close()

    handler.setLevel(level)
    handler.setFormatter(_Formatter())
    LOGGER.addHandler(handler)
    # Each handler has its level; the logger needs the lowest of them.
    LOGGER.setLevel(min(level, before or level))
    ctx.call_on_close(detach)
