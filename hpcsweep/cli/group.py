"""The group of all commands: imports the called one, escapes output, prints errors as messages."""

from __future__ import annotations

import errno
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from hpcsweep import __version__, shadowed_modules
from hpcsweep.cli import commands, streams
from hpcsweep.cli.on_host import INSTALL, command_on_host, complete_hosts
from hpcsweep.errors import ExtraMissing, HpcsweepError, SweepError
from hpcsweep.redact import redact

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# difflib's ratio from which an unknown command counts as a misspelt one: "sbumit" for "submit", but
# not "list" for "ingest".
MISTYPED = 0.75


class Cli(click.Group):
    """Imports a command when it is called; turns our errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names of all commands, the most used ones first."""
        return list(commands.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command."""
        if cmd_name not in commands.COMMANDS:
            return None
        module, _ = commands.COMMANDS[cmd_name]
        command: click.Command = import_module(module, commands.__name__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The called command. *Raises* UsageError for an unknown one."""
        name = args[0]
        host = ctx.params.get("on")
        if host is not None and not ctx.resilient_parsing and name in (*commands.COMMANDS, INSTALL):
            return name, command_on_host(name, host), args[1:]
        if name in commands.COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}. {_instead_of(name)}".rstrip(), ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands in a help text, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in commands.COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, without importing it."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # a shell asks

        table = {name: text for name, (_, text) in commands.COMMANDS.items()}
        if ctx.params.get("on"):
            table[INSTALL] = "Install hpcsweep there."
        fitting = [
            CompletionItem(name, help=text)
            for name, text in table.items()
            if name.startswith(incomplete)
        ]
        # The options of the group; click's own method would import every command.
        return fitting + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, **how: Any) -> Any:
        """Run the program with escaped output. Never returns."""
        with streams.clean():
            try:
                return super().main(*args, **how)
            except OSError as error:  # while it printed a help text
                sys.exit(_report(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours becomes a message without a traceback."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (HpcsweepError, OSError) as error:
            ctx.exit(_report(error))
        except UnicodeEncodeError as error:
            if sys.getfilesystemencoding() == "utf-8":
                raise
            ctx.exit(_report(_unwritable_name(error)))
        except EOFError as error:  # click would print "Aborted!"
            damaged = shadowed_modules.explain_shadowing(error)
            if damaged is None:
                raise
            ctx.exit(_report(SweepError(damaged)))
        return result


# color: click must not strip escape sequences; `streams` shows them escaped.
@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "color": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--on",
    metavar="HOST[:DIR]",
    shell_complete=complete_hosts,
    help="Run the command on another host, by ssh: HOST as ssh takes it, or a profile with `host`. "
    "`install` installs hpcsweep there.",
)
def main(on: str | None) -> None:  # `resolve_command` reads it
    """Parameter sweeps as Slurm job arrays: one manifest in, one table out.

    A SWEEP is its directory, its name under outputs/, its manifest, the manifest's directory if it
    has one sweep, or its archive.
    """


def _instead_of(name: str) -> str:
    """A hint for an unknown command; empty where it would be a guess."""
    if name in commands.INSTEAD:
        return commands.INSTEAD[name]
    near = get_close_matches(name, commands.COMMANDS, cutoff=MISTYPED)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _unwritable_name(error: UnicodeEncodeError) -> SweepError:
    """The error of a file whose name the locale cannot write."""
    return SweepError(
        f"the encoding of this locale, {error.encoding}, has not all characters of the name "
        f"{error.object!a:.200}",
        where="LC_ALL",
        next_step="Set LC_ALL=C.UTF-8, or another locale with UTF-8; unset PYTHONUTF8 if it is 0.",
    )


def _report(error: HpcsweepError | OSError) -> int:
    """Print an error. Returns the exit code."""
    if isinstance(error, OSError) and not isinstance(error, HpcsweepError):
        if error.filename == streams.STANDARD_OUTPUT:
            streams.discard(sys.stdout)
            if error.errno == errno.EPIPE:  # the reader closed the pipe, like `head`
                return 128 + signal.SIGPIPE
        error = _as_ours(error)
    # The library may be installed, and hidden by a file of the user's.
    hidden = (
        shadowed_modules.explain_shadowing(error.__cause__)
        if isinstance(error, ExtraMissing)
        else None
    )
    click.echo(f"hpcsweep: {redact(hidden or str(error))}", err=True)
    return error.exit_code


def _as_ours(error: OSError) -> HpcsweepError:
    what, where = error.strerror or str(error), str(error.filename or "")
    if where == streams.STANDARD_OUTPUT:
        next_step = "The output is incomplete; the effects of the command remain."
        return HpcsweepError(what, where=where, next_step=next_step)
    return SweepError(what, where=where, next_step="Check its permissions, the disk and its quota.")
