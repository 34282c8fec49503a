"""The group of all commands: clean streams around them, errors of ours as messages."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Any

import click

from hpcsweep import shadowed_modules
from hpcsweep.cli import streams
from hpcsweep.errors import ExtraMissing, HpcsweepError, SweepError
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
    if isinstance(error, OSError) and not isinstance(error, HpcsweepError):
        if error.filename == streams.STANDARD_OUTPUT:
            streams.discard(sys.stdout)
            if error.errno == errno.EPIPE:  # a reader that has enough, like `head`
                return 128 + signal.SIGPIPE
        error = _understood(error)
    # A library may be installed and hidden.
    hidden = shadowed_modules.culprit(error.__cause__) if isinstance(error, ExtraMissing) else None
    click.echo(f"hpcsweep: {redact(hidden or str(error))}", err=True)
    return error.exit_code


def _understood(error: OSError) -> HpcsweepError:
    what, where = error.strerror or str(error), str(error.filename or "")
    if where == streams.STANDARD_OUTPUT:
        next_step = "What was to be shown is not whole; what the command did stays done."
        return HpcsweepError(what, where=where, next_step=next_step)
    return SweepError(what, where=where, next_step="Check its permissions, the disk and its quota.")
