"""`emulator`: make, start, inspect, enter and stop emulated clusters."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import click

from hpcsweep import emulator, yamltext
from hpcsweep.cli import streams
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import json_option
from hpcsweep.cli.render.console import print_document, print_facts
from hpcsweep.emulator.versions import DEFAULT, VERSIONS
from hpcsweep.errors import ClusterError, InputError
from hpcsweep.quantities import counted

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Its state directory (default: your own emulated cluster). Each is another cluster.",
)


@click.group(
    "emulator",
    epilog=examples(
        "hpcsweep emulator start",
        "hpcsweep emulator shell sinfo",
    ),
)
def command() -> None:
    """A Slurm on this machine, in a directory: for tests and laptops."""


@command.command(
    "start",
    epilog=examples(
        "hpcsweep emulator start",
        "hpcsweep emulator start --nodes 8 --cpus 16 --slurm-version 24.11",
    ),
)
@click.option("--nodes", type=click.IntRange(min=1), help="Count of nodes (default: 4).")
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs of each node (default: 4).")
@click.option(
    "--mem", type=click.IntRange(min=1), metavar="MB", help="Memory of each node (default: 4000)."
)
@click.option(
    "--slurm-version",
    type=click.Choice([*VERSIONS]),
    help=f"Version of Slurm to emulate (default: {DEFAULT}).",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="All knobs, as YAML or JSON; nothing else is then made on demand.",
)
@directory_option
def start(
    nodes: int | None,
    cpus: int | None,
    mem: int | None,
    slurm_version: str | None,
    config: Path | None,
    directory: Path | None,
) -> None:
    """Make the cluster if need be, and start it. Safe to repeat."""
    place = _place(directory)
    knobs = {"nodes": nodes, "cpus": cpus, "mem_mb": mem, "slurm_version": slurm_version}
    given: dict[str, Any] = {key: value for key, value in knobs.items() if value is not None}
    settings = None
    if config is not None:
        values = yamltext.load(config).value
        if not isinstance(values, dict):
            raise InputError("must be a mapping of knobs", where=str(config))
        settings = emulator.from_json({"strict": True} | values | given, where=str(config))
    elif given:
        stored = emulator.load(place) if emulator.exists(place) else emulator.EmulatorConfig()
        settings = dataclasses.replace(stored, **given)
    emulator.ensure(place, settings)
    now = emulator.load(place)
    size = f"{counted(now.nodes, 'node')} of {counted(now.cpus, 'CPU')}"
    click.echo(f"{now.cluster_name} is up: {size}, {place}")
    option = "" if directory is None else f" --dir {shlex.quote(str(directory))}"
    click.echo(f'Next: eval "$(hpcsweep emulator env{option})"')


@command.command("stop", epilog=examples("hpcsweep emulator stop"))
@directory_option
def stop(directory: Path | None) -> None:
    """End the scheduler as a power cut does: what runs is requeued at the next start."""
    place = _place(directory)
    was_running = emulator.is_running(place)
    emulator.stop(place)
    click.echo("stopped" if was_running else "it was not running")


@command.command("status", epilog=examples("hpcsweep emulator status --json"))
@json_option
@directory_option
def status(as_json: bool, directory: Path | None) -> None:
    """Show whether it runs and what it does; never starts it."""
    description = emulator.describe(_place(directory))
    if as_json:
        print_document(description)
        return
    click.echo(f"{description['directory']}: {'up' if description['running'] else 'down'}")
    facts = description.get("nodes", {}) | description.get("jobs", {})
    print_facts([(f"  {name}", str(text)) for name, text in facts.items()])


@command.command("env", epilog=examples('eval "$(hpcsweep emulator env)"'))
@directory_option
def env(directory: Path | None) -> None:
    """Print lines for a shell's `eval` that put the emulated programs first on PATH."""
    place = _place(directory)
    emulator.ensure(place)
    for name, value in emulator.environment(place).items():
        click.echo(f"export {name}={shlex.quote(value)}", file=streams.document())


@command.command(
    "shell",
    # Options behind the first word are the command's own.
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "hpcsweep emulator shell",
        "hpcsweep emulator shell sbatch --wait job.sh",
    ),
)
@click.argument("command", nargs=-1)
@directory_option
def shell(command: tuple[str, ...], directory: Path | None) -> None:
    """Open a shell, or run COMMAND, where Slurm is the emulated one."""
    place = _place(directory)
    emulator.ensure(place)
    words = list(command)
    # `shell squeue -- -h` was the way to give options.
    if words[1:2] == ["--"]:
        del words[1]
    raise click.exceptions.Exit(emulator.run(place, words))


def _fault_kinds(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in (*emulator.KINDS, "clear") if kind.startswith(incomplete)]


def _place(directory: Path | None) -> Path:
    place = emulator.default_state_dir() if directory is None else directory.absolute()
    if place.is_dir() and not emulator.exists(place) and any(place.iterdir()):
        raise ClusterError(
            "this directory holds something else",
            where=str(place),
            next_step="Name a new or empty directory.",
        )
    return place


@command.command(
    "fault",
    epilog=examples(
        "hpcsweep emulator fault node_fail --job 12",
        "hpcsweep emulator fault preempt --rate 0.05",
        "hpcsweep emulator fault clear",
    ),
)
@click.argument("kind", metavar="KIND", shell_complete=_fault_kinds)
@click.option("--job", metavar="JOB", help="Which running job, or element: 12 or 12_3.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="Seconds that it lasts.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1),
    help="From now on, this share of all chances instead of at once.",
)
@click.option("--seed", type=int, default=0, help="Seed of the choice, with --rate (default: 0).")
@directory_option
def fault(
    kind: str,
    job: str | None,
    seconds: float | None,
    rate: float | None,
    seed: int,
    directory: Path | None,
) -> None:
    """Order a fault: at once, or with --rate from now on; `clear` ends all.

    KIND: node_fail, preempt, out_of_memory, duplicate_start of a job; refuse and submit_timeout of
    an sbatch; controller_down, controller_slow, accounting_down, accounting_late.
    """
    place = _place(directory)
    emulator.ensure(place)
    if kind == "clear":
        emulator.order_faults(place, (), seed=0)
        click.echo("no faults are ordered")
        return
    lasting: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    if rate is not None:
        others = [fault for fault in emulator.load(place).faults if fault.kind != kind]
        ordered = emulator.Fault(kind=kind, rate=rate, **lasting)
        emulator.order_faults(place, (*others, ordered), seed=seed)
        click.echo(f"{kind}: {rate:.1%} of all chances, seed {seed}")
        return
    base, _, task = (job or "0").partition("_")
    if not base.isdigit() or (task and not task.isdigit()):
        raise InputError(f"not a job: {job}", next_step="Write 12, or 12_3 for one element.")
    number = int(task) if task else None
    struck = emulator.order_fault(place, kind, job=int(base), task=number, **lasting)
    if not struck:
        raise ClusterError(f"no such job runs: {job or 'name one with --job'}", where=str(place))
    click.echo(f"{kind}: done" if job is None else f"{kind}: {struck} of job {job}")
