"""`completion`: print what makes a shell complete hpcsweep's command line."""

from __future__ import annotations

import click

from hpcsweep.cli.examples import examples


@click.command(
    "completion",
    epilog=examples(
        "hpcsweep completion bash > ~/.local/share/bash-completion/completions/hpcsweep",
        "hpcsweep completion zsh > ~/.zfunc/_hpcsweep",
        "hpcsweep completion fish > ~/.config/fish/completions/hpcsweep.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script by which a shell completes the command line.

    Save it where the shell looks for such scripts, as below, and open a new shell. For zsh the
    directory must be in `fpath`: put `fpath+=~/.zfunc` above `compinit` in ~/.zshrc. The script
    asks hpcsweep at each press of Tab; commands, options, names of sweeps, clusters, profiles and
    columns, and statuses are completed.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click knows no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "hpcsweep", "_HPCSWEEP_COMPLETE").source())
