"""Locate a sweep by its directory, its name under `outputs/`, or its manifest."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.files import inside, names, unreadable
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory


def locate(text: str, outputs: Path) -> SweepDirectory:
    """The sweep of a directory, name or manifest. *Raises* SweepError, ManifestError."""
    path, name = Path(text), text
    # In this order: a project's directory or program may have the same name as its sweep.
    for candidate in (path, outputs / text):
        if _is_sweep(candidate):
            return SweepDirectory.open(candidate)
    if path.is_dir():
        return SweepDirectory.open(path)
    if path.is_file():
        name = _name_in(path)
        if _is_sweep(inside(outputs, name)):
            return SweepDirectory.open(outputs / name)
    sweeps = sweep_names(outputs)
    raise SweepError(
        f"there is no sweep {name!r}",
        where=str(outputs),
        next_step=f"Sweeps here: {', '.join(sweeps)}."
        if sweeps
        else "No sweep was submitted here. `hpcsweep submit MANIFEST` makes one; --outputs names "
        "another directory.",
    )


def sweep_names(outputs: Path) -> list[str]:
    """The names of the sweeps in a directory of outputs. *Raises* SweepError."""
    return [name for name in names(outputs) if _is_sweep(outputs / name)]


def _is_sweep(path: Path) -> bool:
    try:
        return (path / MARKER).is_file()
    except OSError as error:
        raise unreadable(path, error) from error


def _name_in(manifest: Path) -> str:
    from hpcsweep import yamltext  # noqa: PLC0415  # loads yaml; rarely needed

    document = yamltext.load(manifest).value
    name = document.get("name") if isinstance(document, dict) else None
    if not isinstance(name, str):
        raise SweepError("names no sweep", where=str(manifest), next_step="Give it a `name:`.")
    return name
