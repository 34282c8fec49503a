"""Locate a sweep by its directory, its name, its manifest, the manifest's directory or an archive.

Sweep directories are in `outputs` beside their manifest, unless the user names another directory.
Before, they were in `outputs` below the current directory: a sweep that is there goes on there.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from hpcsweep.errors import SweepError
from hpcsweep.files import inside, names, unreadable
from hpcsweep.sweepdir.archive import is_archive, open_archived
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory

OUTPUTS = "outputs"


class Place(NamedTuple):
    """The directory of a sweep, which may not exist yet."""

    path: Path
    # What to tell the user of it; "" for nothing.
    notice: str = ""


def outputs_in(root: Path, given: str = "") -> Path:
    """The directory of the sweeps of `root`; `given` is the one that the user names."""
    return Path(given) if given else root / OUTPUTS


def place_of(name: str, root: Path, given: str = "") -> Place:
    """Where the sweep of a manifest in `root` is, or will be. *Raises* SweepError, Damaged."""
    path, here = outputs_in(root, given) / name, Path(OUTPUTS) / name
    if given or path.resolve() == here.resolve() or _is_sweep(path):
        return Place(path)
    if not os.access(root, os.W_OK):  # a manifest that many use
        return Place(here, f"{name} is in {here}: you may not write in {root}")
    if not _is_sweep(here):
        return Place(path)
    if _is_of(SweepDirectory.open(here), root):
        return Place(here, f"{name} goes on in {here}, where it was begun, and not in {path}")
    return Place(path, f"{name} is in {path}; {here} is the sweep of another manifest")


def locate(
    text: str,
    given: str = "",
    near: Path = Path(),
    notify: Callable[[str], None] = lambda _: None,
) -> SweepDirectory:
    """The sweep of a directory, a name, a manifest, a manifest's directory, or an archive.

    `given` is the directory of sweeps that the user names; without it, a name is looked up in the
    outputs `near` a manifest, and in those of the current directory. `notify` gets the notice of a
    manifest's `place_of`. *Raises* SweepError, ManifestError.
    """
    if not text.strip():
        # As a path it is the current directory, whose only sweep `rm` would then remove.
        raise SweepError(
            "an empty text names no sweep",
            where="SWEEP",
            next_step="Is a variable of your shell not set? `.` is the sweep of this directory.",
        )
    # In this order: a project's directory or program may have the same name as its sweep.
    for candidate in _candidates(text, given, near):
        if _is_sweep(candidate):
            return SweepDirectory.open(candidate)
    path, name = Path(text), text
    if path.is_dir():
        return SweepDirectory.open(_only_sweep(path, given) or path)
    if path.is_file() and is_archive(path):
        return open_archived(path)
    if path.is_file():
        name = _name_in(path)
        near = path.parent
        inside(outputs_in(near, given), name)
        place = place_of(name, near, given)
        if place.notice:
            notify(place.notice)
        if _is_sweep(place.path):
            return SweepDirectory.open(place.path)
    outputs = outputs_in(near, given)
    sweeps = sweep_names(outputs)
    raise SweepError(
        f"there is no sweep {name!r}",
        where=str(outputs),
        next_step=f"Sweeps here: {', '.join(sweeps)}. Others are beside their manifests: name one."
        if sweeps
        else "No sweep was submitted here. `hpcsweep submit MANIFEST` makes one beside its "
        "manifest: name that; --outputs names another directory.",
    )


def argument_for(name: str, path: str) -> str:
    """The text by which a command here locates this sweep: its name if that is this one.

    Otherwise its path, quoted for a shell: of a sweep that was moved or renamed, and an archive.
    """
    try:
        named = next(filter(_is_sweep, _candidates(name, "", Path())), None)
    except SweepError:  # a directory that may not be read
        named = None
    is_found = named is not None and named.resolve() == Path(path).resolve()
    return name if is_found else shlex.quote(path)


def _candidates(text: str, given: str, near: Path) -> Iterator[Path]:
    yield Path(text)
    for root in dict.fromkeys((near, Path())):
        yield outputs_in(root, given) / text


def sweep_names(outputs: Path) -> list[str]:
    """The names of the sweeps in a directory of outputs, but for those that may not be read.

    *Raises* SweepError.
    """
    found = []
    for name in names(outputs):
        with contextlib.suppress(SweepError):  # another user's
            if _is_sweep(outputs / name):
                found.append(name)
    return found


def _only_sweep(project: Path, given: str) -> Path | None:
    """The sweep beside the manifests of a directory, if there is one. *Raises* SweepError."""
    outputs = project / OUTPUTS
    sweeps = [] if given else sweep_names(outputs)
    if len(sweeps) > 1:
        raise SweepError(
            f"has several sweeps: {', '.join(sweeps)}",
            where=str(project),
            next_step=f"Name one, such as {outputs / sweeps[0]}, or its manifest.",
        )
    return outputs / sweeps[0] if sweeps else None


def _is_of(sweep: SweepDirectory, root: Path) -> bool:
    """Whether a sweep was submitted from a manifest in `root`."""
    return bool(sweep.submissions()) and Path(sweep.newest().manifest.root) == root.resolve()


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
