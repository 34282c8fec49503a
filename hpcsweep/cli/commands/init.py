"""`init`: write a first manifest and target."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hpcsweep.errors import SweepError
from hpcsweep.files import write_new
from hpcsweep.ids import slug
from hpcsweep.undo import undo_on_error

MANIFEST = """\
# What to run, for which parameters, and what each task asks of Slurm.
name: {name}
target: simulate.py:simulate
source:
  grid:
    omega: [1.0, 2.0, 3.0]
    dt: [1e-2, 1e-3]
seed: 42
slurm:
  time: "00:10:00"
  mem: 1G
"""

TARGET = '''\
"""The target: called once for every case, with its parameters by name."""


def simulate(omega, dt, log, rng):
    """Return metrics as a dict; `log` writes files into the run directory."""
    x, v = 1.0, rng.normal(0.0, 0.1)
    for _ in range(1000):
        v -= omega**2 * x * dt
        x += v * dt
    log.info(f"done with omega={omega}, dt={dt}")
    return {"energy": 0.5 * (v**2 + (omega * x) ** 2)}
'''


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=".")
def command(directory: Path) -> None:
    """Write a manifest and a target to begin with."""
    for path in scaffold(directory):
        click.echo(f"written: {path}")
    click.echo(f"Next: hpcsweep plan {directory / 'manifest.yaml'}")


def scaffold(directory: Path) -> list[Path]:
    """Write `manifest.yaml` and `simulate.py` into a directory. Returns their paths.

    Completes what a killed call began. *Raises* SweepError if another file of that name exists, or
    a file cannot be written.
    """
    name = slug(directory.resolve().name, 64)
    texts = {"manifest.yaml": MANIFEST.format(name=name), "simulate.py": TARGET}
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
