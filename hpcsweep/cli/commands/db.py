"""`db`: run a private PostgreSQL for sweep indexes, without an administrator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import Context, load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import cluster_option, common, file_option, json_option

if TYPE_CHECKING:
    from hpcsweep.database.control import ServerStatus
    from hpcsweep.database.directory import DatabaseDirectory

place_argument = click.argument("place", metavar="SWEEP|DIR", shell_complete=completion.sweeps)


@click.group(
    "db",
    epilog=examples(
        "hpcsweep db start demo",
        "hpcsweep db status demo",
    ),
)
def command() -> None:
    """A PostgreSQL of your own, here or on a compute node, for sweep indexes.

    DIR is a directory that holds one, or a new one; SWEEP means the one that has its index.
    """


@command.command(
    "start",
    epilog=examples(
        "hpcsweep db start demo",
        "hpcsweep db start ~/sweeps-db --node --wait",
    ),
)
@place_argument
@click.option("--node", is_flag=True, help="As a job on a compute node, for tasks of all nodes.")
@cluster_option
@click.option(
    "--port",
    type=click.IntRange(1024, 65535),
    metavar="N",
    help="Of a server on a node (default: any that is free).",
)
@click.option(
    "--service", metavar="NAME", help="Name in the service file (default: the name of DIR)."
)
@click.option("--wait", "waits", is_flag=True, help="Wait until the job's server is up.")
@common
def start(
    place: str,
    node: bool,
    cluster: str | None,
    port: int | None,
    service: str | None,
    waits: bool,
    **shared: Any,
) -> None:
    """Make the database if need be, and start its server. Safe to repeat."""
    from hpcsweep.database import control

    context = load_context(**shared)
    if not node and (port is not None or waits):
        raise click.UsageError("--port and --wait are for a server on a node: add --node.")
    directory = _open_or_create(place, service, context)
    on_others = False
    if node:
        from hpcsweep.cluster import registry
        from hpcsweep.database.options import job_options

        options = job_options(context.profile, context.sets, context.settings.plugin_options)
        opened = registry.choose(
            cluster or context.settings.cluster, context.settings, directory.path
        )
        on_others = not opened.is_own
        status = control.start_on_node(directory, opened, options, port or 0, context.settings)
        if waits and status.state is control.ServerState.QUEUED:
            status = control.wait_for_job(directory, context.settings)
    else:
        status = control.start_here(directory, context.settings)
    _print_start(directory, status)
    _warn_of_file_system(directory, on_others=on_others)


def _open_or_create(place: str, service: str | None, context: Context) -> DatabaseDirectory:
    from hpcsweep.database import control, find
    from hpcsweep.database.directory import is_database

    sweep = None if is_database(Path(place)) else find.find_sweep(place, context.settings.outputs)
    if sweep is not None:
        place = str(find.database_of(sweep).path)
    elif not is_database(Path(place)):  # the name may be mistyped
        click.echo(f"{place} is no database and no sweep: making a database", err=True)
    return control.open_or_create(Path(place), service)


def _print_start(directory: DatabaseDirectory, status: ServerStatus) -> None:
    from hpcsweep.database.control import ServerState

    record = status.record
    job = record["job"] if record else None
    where = f"job {job['id']}" if job else "this host"
    if status.state is ServerState.QUEUED:
        click.echo(
            f"{where} will run the server of {directory.path}: `hpcsweep db status` tells "
            "when it does"
        )
    else:
        host = f"{record['host']}, " if record and job else ""
        click.echo(f"the server of {directory.path} runs: {host}{where}")
    click.echo(f"in the manifest:  store: {directory.store}")
    click.echo(f"by hand:          psql service={directory.service}")
    if record and record["socket"]:
        click.echo(
            "It has a socket and no port: only processes of this host reach it. For tasks "
            "on compute nodes stop it, and start it with --node.",
            err=True,
        )


def _warn_of_file_system(directory: DatabaseDirectory, *, on_others: bool) -> None:
    """Warn of a network file system, and of a local one where other hosts need the files."""
    from hpcsweep.store.filesystem import filesystem_type, is_local

    where = f"Warning: {directory.path} is on {filesystem_type(directory.path)}"
    if not is_local(directory.path):
        click.echo(
            f"{where}. PostgreSQL needs hard mounts there, and is slow. What a broken file system "
            "destroys, `hpcsweep ingest SWEEP --rebuild` makes again.",
            err=True,
        )
    elif on_others:
        click.echo(
            f"{where}, which other nodes do not see: name a directory that they do", err=True
        )


@command.command("stop", epilog=examples("hpcsweep db stop ~/sweeps-db"))
@place_argument
@common
def stop(place: str, **shared: Any) -> None:
    """End the server: clients are disconnected, the data stay. Safe to repeat."""
    from hpcsweep.database import control
    from hpcsweep.database.find import find_database

    context = load_context(**shared)
    was_running = control.stop(find_database(place, context.settings.outputs), context.settings)
    click.echo("stopped" if was_running else "it was not running")


@command.command("status", epilog=examples("hpcsweep db status demo --json"))
@place_argument
@json_option
@common
def status(place: str, as_json: bool, **shared: Any) -> None:
    """Show where it runs, since when, its size, and which sweeps use it."""
    from hpcsweep.cli.render.console import print_document, print_facts, print_line
    from hpcsweep.database.describe import describe
    from hpcsweep.database.find import find_database

    context = load_context(**shared)
    facts = describe(find_database(place, context.settings.outputs), context.settings)
    if as_json:
        print_document(facts)
        return
    job = f"job {facts['job']}" if facts["job"] else ""
    port = f"port {facts['port']}" if facts["port"] else ""
    where = ", ".join(filter(None, (facts["host"], port, job)))
    lines = {
        "where": where if facts["state"] != "stopped" else "",
        "since": facts["since"] if facts["state"] != "stopped" else "",
        "size": f"{facts['bytes'] / 2**20:,.0f} MiB",
        "PostgreSQL": str(facts["version"] or ""),
        "store": facts["store"],
        "by hand": f"psql service={facts['service']}",
        "sweeps": "" if facts["sweeps"] is None else ", ".join(facts["sweeps"]) or "none yet",
        "why": facts["why"],
    }
    print_line(facts["directory"], ": ", (facts["state"], "bold"))
    print_facts([(name, text) for name, text in lines.items() if text])


@command.command("dump", epilog=examples("hpcsweep db dump demo demo.sql"))
@place_argument
@click.argument("output", type=file_option, metavar="FILE")
@common
def dump(place: str, output: Path, **shared: Any) -> None:
    """Write all of a running database to FILE, for pg_restore."""
    from hpcsweep.database import describe
    from hpcsweep.database.find import find_database

    context = load_context(**shared)
    directory = find_database(place, context.settings.outputs)
    describe.dump(directory, output)
    click.echo(f"{output}: {output.stat().st_size:,} bytes")
    click.echo(
        "Restore it: `hpcsweep db start NEW`, then `pg_restore --no-owner "
        f"--dbname=service=NEW {output}`",
        err=True,
    )
