"""libpq's service file: each server has its section there, and all clients find it by its name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpcsweep import claims
from hpcsweep.errors import InputError, StoreError
from hpcsweep.files import make_directory, read_regular, replace
from hpcsweep.settings import state_home

# The line of a section that says whose it is; libpq passes over it.
_OWNER = "# hpcsweep db: "
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SIZE_MAX = 1 << 20
# Seconds that another process may take to write the file.
_PATIENCE_S = 30.0


def service_path() -> Path:
    """The service file that libpq reads first."""
    named = os.environ.get("PGSERVICEFILE", "")
    return Path(named) if named else Path(os.environ.get("HOME", "/")) / ".pg_service.conf"


def check_name(name: str) -> None:
    """*Raises* InputError for a name that a section or a URL cannot have."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a service",
            next_step="Name one by --service, of letters, digits and `_`, `.`, `-`.",
        )


def section(text: str, name: str) -> list[str] | None:
    """The lines of a section; None without one."""
    lines = _sections(text).get(name)
    return None if lines is None else [line.strip() for line in lines[1:] if line.strip()]


def with_section(text: str, name: str, lines: Sequence[str]) -> str:
    """The text of a service file with a section replaced or added; all else stays as it is."""
    pieces = _sections(text)
    pieces[name] = [f"[{name}]", *lines, ""]
    return "\n".join(line for piece in pieces.values() for line in piece).rstrip("\n") + "\n"


def _sections(text: str) -> dict[str, list[str]]:
    """The lines of each section by its name, the header included; "" is what stands before."""
    by_name: dict[str, list[str]] = {"": []}
    name = ""
    # By line feeds alone, as libpq does.
    for line in text.removesuffix("\n").split("\n") if text else ():
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            name = stripped[1:-1]
        by_name.setdefault(name, []).append(line)
    if not by_name[""]:
        del by_name[""]
    return by_name


def owner(name: str, path: Path | None = None) -> str | None:
    """The directory of the server that a service leads to.

    None where there is no such service, "" where it is not of a server of ours.
    """
    lines = section(_read(path or service_path()), name)
    if lines is None:
        return None
    owners = [line.removeprefix(_OWNER) for line in lines if line.startswith(_OWNER)]
    return owners[0] if owners else ""


def check_free(name: str, directory: Path) -> None:
    """*Raises* StoreError where a service of this name leads to something else."""
    other = owner(name)
    if other not in (None, str(directory)):
        raise StoreError(
            f"the service {name!r} is {f'that of {other}' if other else 'another one'} already",
            where=str(service_path()),
            next_step="Name another one by --service, or remove the section from the file.",
        )


def publish(name: str, directory: Path, lines: Sequence[str]) -> None:
    """Write the section of a server of ours. *Raises* StoreError, SweepError. *Safe to repeat.*"""
    # A link stays one: many users keep such files elsewhere.
    path = service_path().resolve()
    with _writing():
        check_free(name, directory)
        text = with_section(_read(path), name, [f"{_OWNER}{directory}", *lines])
        make_directory(path.parent)
        replace(path, text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Exclude other processes of ours: the file is read, changed and replaced."""
    claim = claims.acquire(make_directory(state_home() / "claims"), "pg_service", _PATIENCE_S)
    if claim is None:
        raise StoreError(
            "another process is writing the service file",
            where=str(service_path()),
            next_step="Run the command again when that one has ended.",
        )
    try:
        yield
    finally:
        claim.release()


def _read(path: Path) -> str:
    try:
        return read_regular(path, _SIZE_MAX).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(
            f"the service file cannot be read: {error.strerror}",
            where=str(path),
            next_step="Correct it, or name another one in PGSERVICEFILE.",
        ) from error
