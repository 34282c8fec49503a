"""`--on HOST`: the command runs on another host, with the arguments as they are."""

from __future__ import annotations

import codecs
import shlex
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from hpcsweep.cli import commands, streams

# Commands that write files here, or serve a browser here.
HERE = ("completion", "import", "init", "schema", "view")
# Of these commands only: elsewhere nothing has to be installed.
INSTALL = "install"


class OnHost(click.Command):
    """A command that another host runs; that one parses its arguments."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(name, add_help_option=False)
        self.called = name
        self.host = host

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments."""
        ctx.args = list(args)
        return []

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command there, and exit as it did."""
        from hpcsweep.cli.output_options import is_standard_output
        from hpcsweep.cli.render.console import COLUMNS, width
        from hpcsweep.far.commands import FarCommand, InterruptedThere, run_there
        from hpcsweep.far.host import far_host
        from hpcsweep.far.project_files import project_root

        directory = Path.cwd()
        project = project_root(directory)
        arguments = tuple(ctx.args)
        outputs = _outputs(self.called, arguments)
        drawn = _drawn(self.called, arguments)
        if drawn is not None and not outputs:
            outputs, arguments = (drawn,), ("--output", str(drawn), *arguments)
        # Standard output comes back anyway.
        outputs = tuple(path for path in outputs if not is_standard_output(path))
        command = FarCommand(
            name=self.called,
            arguments=arguments,
            project=project,
            directory=directory,
            outputs=outputs,
            environment={COLUMNS: str(width())} if sys.stdout.isatty() else {},
        )
        host = far_host(self.host, project)
        try:
            ctx.exit(run_there(host, command, _writer()))
        except KeyboardInterrupt as error:
            what = f"\nStopped; `{self.called}` is not running on {host.name}."
            if isinstance(error, InterruptedThere):
                what = (
                    f"\nNo longer connected; `{self.called}` may continue on {host.name} until it "
                    f"prints something. `hpcsweep --on {shlex.quote(self.host)} status` says what "
                    "was submitted."
                )
            click.echo(what, err=True)
            ctx.exit(128 + signal.SIGINT)  # as in a shell


def command_on_host(name: str, host: str) -> click.Command:
    """The command that runs `name` on another host. *Raises* UsageError for one of this host."""
    if name == INSTALL:
        wheel = click.Option(
            ["--wheel"],
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="From this file instead of the package index.",
        )
        extra = click.Option(
            ["--extra", "extras"],
            multiple=True,
            metavar="NAME",
            help="With the libraries of hpcsweep[NAME], like parquet. Repeatable.",
        )
        return click.Command(
            INSTALL,
            params=[wheel, extra],
            callback=partial(_install, host),
            help="Install this version of hpcsweep on another host, below its directory there.",
        )
    if name in HERE:
        raise click.UsageError(
            f"`{name}` works on this host alone: leave --on out, or log in there."
        )
    return OnHost(name, host)


def complete_hosts(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Complete `--on`. Loads what completes values when a shell asks."""
    from hpcsweep.cli import completion

    return completion.hosts(ctx, option, incomplete)


def _install(host: str, wheel: Path | None, extras: tuple[str, ...]) -> None:
    from hpcsweep.far.host import far_host
    from hpcsweep.far.install import install_there
    from hpcsweep.far.project_files import project_root

    there = install_there(far_host(host, project_root(Path.cwd())), wheel, extras)
    click.echo(f"installed: hpcsweep {there.version} in {there.host}:{there.root}")


def _outputs(name: str, arguments: tuple[str, ...]) -> tuple[Path, ...]:
    """The values of --output. A mistake in the arguments is for the other host to report."""
    module, _ = commands.COMMANDS[name]
    command: click.Command = import_module(module, commands.__name__).command
    with command.make_context(name, list(arguments), resilient_parsing=True) as context:
        options = [one.name for one in command.params if "--output" in one.opts and one.name]
        values = [context.params.get(name) for name in options]
    return tuple(Path(value) for value in values if value)


def _drawn(name: str, arguments: tuple[str, ...]) -> Path | None:
    """The file for what a command draws: its own place is in the sweep's directory, not here."""
    if any(one.partition("=")[0] in ("--help", "-h") for one in arguments):
        return None
    if name == "report":
        has_two = any(one.partition("=")[0] == "--diff" for one in arguments)
        return Path("differences.html" if has_two else "report.html")
    return Path("plot.png") if name == "plot" else None


def _writer() -> Callable[[bytes], None]:
    """Write what comes from another host: bytes to a file or a pipe, escaped to a terminal."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(data: bytes) -> None:
        if sys.stdout.isatty():  # a character may have come by half
            sys.stdout.write(decoder.decode(data))
        else:
            streams.write_bytes(data)
        sys.stdout.flush()

    return write
