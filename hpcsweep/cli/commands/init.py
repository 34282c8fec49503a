"""`init`: write a first manifest and target, of a kind."""

from __future__ import annotations

import os
from pathlib import Path

import click

import hpcsweep
from hpcsweep.cli.examples import examples
from hpcsweep.errors import SweepError
from hpcsweep.files import write_new
from hpcsweep.ids import slug
from hpcsweep.undo import undo_on_error

MANIFEST = "manifest.yaml"
# What stands for the name of the sweep in a manifest.
NAME = "{name}"
# Each is a directory of `examples/starters`.
KINDS = ("function", "command", "table", "training", "mpi")


@click.command(
    "init",
    epilog=examples(
        "hpcsweep init demo",
        "hpcsweep init training-demo --kind training",
    ),
)
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    help="A Python function (the default), a program, the rows of a table, training runs with "
    "checkpoints, or a parallel program.",
)
def command(directory: Path, kind: str) -> None:
    """Write a manifest and a target to begin with."""
    for path in scaffold(directory, kind):
        click.echo(f"written: {path}")
    click.echo(f"Next: hpcsweep plan {directory / MANIFEST}")


def starter(kind: str) -> dict[str, str]:
    """The files of a kind by name, the manifest first."""
    package = Path(hpcsweep.__file__).parent
    installed = package / "starters"
    root = (installed if installed.is_dir() else package.parent / "examples" / "starters") / kind
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(root.iterdir())}
    return {MANIFEST: texts.pop(MANIFEST), **texts}


def scaffold(directory: Path, kind: str = KINDS[0]) -> list[Path]:
    """Write `manifest.yaml` and what it names into a directory. Returns their paths.

    Completes what a killed call began. *Raises* SweepError if another file of that name exists, or
    a file cannot be written.
    """
    texts = starter(kind)
    texts[MANIFEST] = texts[MANIFEST].replace(NAME, slug(directory.resolve().name, 64))
    files = {directory / file: text.encode() for file, text in texts.items()}
    next_step = "Name another directory: `hpcsweep init DIRECTORY`."
    try:
        directory.mkdir(parents=True, exist_ok=True)
        existing = [path for path in files if os.path.lexists(path)]
        if len(existing) == len(files) or any(
            path.read_bytes() != files[path] for path in existing
        ):
            raise SweepError("is there already", where=str(existing[0]), next_step=next_step)
        with undo_on_error() as made:
            for path in files.keys() - existing:
                # The umask applies, as to any file that an editor makes.
                write_new(path, files[path], mode=0o666)
                made.note(path)
    except FileExistsError as error:
        where = error.filename2 or error.filename
        raise SweepError("is there already", where=str(where), next_step=next_step) from error
    except OSError as error:
        raise SweepError(
            f"cannot be written: {error.strerror}", where=str(directory), next_step=next_step
        ) from error
    return list(files)
