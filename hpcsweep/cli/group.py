"""The group of all commands: clean streams around them, errors of ours as messages."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Any

import click

from hpcsweep.cli import streams
from hpcsweep.errors import HpcsweepError, SweepError
from hpcsweep.redact import redact

# As a user meets them; --help lists them in this order.
ORDER = ("init", "schema", "validate", "plan", "run", "submit", "status", "logs", "collect", "plot",
         "files", "unpack", "retry", "cancel", "ingest", "doctor", "emulator")  # fmt: skip


class Cli(click.Group):
    """Turns the library's errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, everyday ones first."""
        names = super().list_commands(ctx)
        return [*(name for name in ORDER if name in names), *(n for n in names if n not in ORDER)]

    def main(self, *args: Any, **how: Any) -> Any:
        """Run the program."""
        with streams.clean():
            try:
                return super().main(*args, **how)
            except OSError as error:  # while it printed a help text
                sys.exit(_tell(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is told, never traced."""
        try:
            found = super().invoke(ctx)
            sys.stdout.flush()
        except (HpcsweepError, OSError) as error:
            ctx.exit(_tell(error))
        return found


def _tell(error: HpcsweepError | OSError) -> int:
    """Say what is wrong. Returns the exit code."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        streams.discard(sys.stdout)  # a reader that has enough, like `head`
        return 128 + signal.SIGPIPE
    known = error if isinstance(error, HpcsweepError) else _understood(error)
    click.echo(f"hpcsweep: {redact(str(known))}", err=True)
    return known.exit_code


def _understood(error: OSError) -> HpcsweepError:
    what = error.strerror or str(error)
    try:
        sys.stdout.flush()
    except OSError:  # what is left of the output cannot be written: that was it
        streams.discard(sys.stdout)
        next_step = "What was to be shown is not whole; what the command did stays done."
        return HpcsweepError(what, where="standard output", next_step=next_step)
    next_step = "Check its permissions, the disk and its quota."
    return SweepError(what, where=str(error.filename or ""), next_step=next_step)
