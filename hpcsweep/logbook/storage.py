"""Where a run's files go: whole or not at all, and never outside."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import (
    inside,
    make_directory,
    mkdir,
    open_file,
    open_regular,
    parse_json,
    try_lock,
    unreadable,
    unwritable,
    write_all,
)
from hpcsweep.logbook.json_values import json_document

# What file systems allow for one name.
NAME_BYTES_MAX = 255
# Seconds that who was told to end waits for others who write the same file.
SIGNALLED_S = 0.5
_count = itertools.count()


class RunStorage(Protocol):
    """Keeps the files of one run; names are relative, with `/`.

    *Raises* InputError for what is no name, SweepError for one that would lead elsewhere and when
    a file cannot be written; then an earlier file of that name is as it was.
    """

    def write(self, name: str, data: bytes) -> None:
        """Keep a file, in place of one of the same name."""

    def writing(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A stream whose content becomes the file when the block ends without an exception."""

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:
        """Add to the end of a file, which begins with `head`."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def merge(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        drop: Collection[str] = (),
        lock: bool = True,
    ) -> dict[str, Any]:
        """Set members of a JSON object instead of those to drop; the object as it is then."""

    def path(self, name: str) -> Path:
        """Where user code may write a file itself; its parents are made."""


class DirectoryStorage:
    """A directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"
        # Directories that are known to be there, and inside.
        self._made = {""}

    def write(self, name: str, data: bytes) -> None:
        """As `RunStorage` says."""
        put(self._inside(name), data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """As `RunStorage` says."""
        target = self._inside(name)
        temporary = ""
        try:
            descriptor, temporary = _temporary(target)
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
            os.rename(temporary, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError):
                raise unwritable(Path(target), error) from error
            raise

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:
        """As `RunStorage` says; of several at once that give the head, one writes it."""
        path = self._inside(name)
        try:
            with self._locked() if head else contextlib.nullcontext():
                descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW)
                try:
                    if head and not os.fstat(descriptor).st_size:
                        data = head + data
                    write_all(descriptor, data)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise unwritable(Path(path), error) from error

    def read(self, name: str) -> bytes | None:
        """As `RunStorage` says."""
        return read_content(self._prefix + checked_name(name))

    def merge(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        drop: Collection[str] = (),
        lock: bool = True,
    ) -> dict[str, Any]:
        """As `RunStorage` says; of several threads or processes, none loses what another set."""
        with self._locked(lock=lock):
            merged = merged_json(self.read(name), fields, drop)
            self.write(name, json_document(merged))
        return merged

    @contextlib.contextmanager
    def _locked(self, *, lock: bool = True) -> Iterator[None]:
        """Nobody else at the same time. *Raises* SweepError where the directory is gone."""
        try:
            descriptor = os.open(self._prefix, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:  # somebody removed it
            raise unwritable(self.root, error) from error
        try:
            with contextlib.suppress(OSError):  # NFS locks no directory: then without
                if lock:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                else:
                    _lock_soon(descriptor)
            yield
        finally:
            os.close(descriptor)

    def path(self, name: str) -> Path:
        """As `RunStorage` says."""
        path = Path(self._inside(name))
        if path.is_symlink():
            inside(self.root, checked_name(name))
        return path

    def _inside(self, name: str) -> str:
        """Where a file lies, its directory made. *Raises* SweepError when that is elsewhere."""
        name = checked_name(name)
        directory = name.rpartition("/")[0]
        if directory not in self._made:
            try:  # the usual case: one directory, and a new one leads nowhere else
                mkdir(self._prefix + directory.partition("/")[0])
                made = True
            except OSError:
                inside(self.root, directory)
                made = False
            if not made or "/" in directory:
                make_directory(Path(self._prefix + directory))
            self._made.add(directory)
        return self._prefix + name


class NoStorage:
    """The place of a run whose manifest says `runs: none`: every file is refused."""

    def write(self, name: str, data: bytes) -> None:  # noqa: ARG002  # as `RunStorage`
        """*Raises* InputError."""
        self._refuse()

    def writing(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:  # noqa: ARG002
        """*Raises* InputError."""
        self._refuse()

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:  # noqa: ARG002
        """*Raises* InputError."""
        self._refuse()

    def read(self, name: str) -> bytes | None:  # noqa: ARG002  # as `RunStorage`
        """There is nothing."""
        return None

    def merge(
        self,
        name: str,  # noqa: ARG002
        fields: Mapping[str, Any],  # noqa: ARG002
        *,
        drop: Collection[str] = (),  # noqa: ARG002
        lock: bool = True,  # noqa: ARG002
    ) -> dict[str, Any]:
        """*Raises* InputError."""
        self._refuse()

    def path(self, name: str) -> Path:  # noqa: ARG002  # as `RunStorage`
        """*Raises* InputError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            "this sweep keeps no run directories, so there is no place for a file",
            next_step="Write `runs: all` into the manifest, or report metrics only.",
        )


@lru_cache(maxsize=1000)
def checked_name(name: str) -> str:
    """The name as a relative path. *Raises* InputError, SweepError as `RunStorage` says."""
    if not isinstance(name, str):
        raise InputError(f"a file's name is text, not a {type(name).__name__}")
    if not name.isprintable():  # a newline would also break the log
        raise InputError(f"{name!r} is no name for a file: it has unprintable characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts:
        raise InputError(f"{name!r} is no name for a file")
    if name.startswith("/") or ".." in parts:
        raise SweepError(
            f"{name!r} would leave the directory",
            where="the run",
            next_step='Give a path inside it, such as "data/x.npy".',
        )
    for part in parts:
        if len(part.encode()) > NAME_BYTES_MAX:
            raise InputError(f"the name {part[:40]!r}… is longer than {NAME_BYTES_MAX} bytes")
    return "/".join(parts)


def _lock_soon(descriptor: int) -> None:
    """Lock a file unless somebody keeps it for long: the caller itself, before a signal came."""
    deadline = time.monotonic() + SIGNALLED_S
    while try_lock(descriptor) is False and time.monotonic() <= deadline:
        time.sleep(0.005)


def read_content(path: str) -> bytes | None:
    """The bytes of a file; None where there is none. *Raises* SweepError when it is unreadable."""
    try:
        with open_regular(path) as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(Path(path), error) from error


def merged_json(
    text: bytes | None, fields: Mapping[str, Any], drop: Collection[str] = ()
) -> dict[str, Any]:
    """A JSON object with members set instead of those that are to drop."""
    try:
        known = parse_json(text) if text else {}
    except ValueError:
        known = {}
    kept = known if isinstance(known, dict) else {}
    return {name: value for name, value in kept.items() if name not in drop} | dict(fields)


def put(path: str, data: bytes) -> None:
    """Write a file of a run: readers see the old one or the new one, it is not yet on the disk.

    Journals are the truth of outcomes and are fsynced; a run directory that a power cut empties
    costs its files, not the result.
    """
    temporary = ""
    try:
        descriptor, temporary = _temporary(path)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise unwritable(Path(path), error) from error


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that `_temporary` gives: other hidden files are the user's."""
    return name.startswith(".") and name[1:].replace(".", "", 1).isdecimal()


def _temporary(path: str) -> tuple[int, str]:
    """A new file beside `path`, and its name: no other thread, process or earlier kill has it."""
    directory = path[: path.rindex("/") + 1]
    while True:
        temporary = f"{directory}.{os.getpid()}.{next(_count)}"
        with contextlib.suppress(FileExistsError):
            return _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), temporary


def _open(path: str, flags: int) -> int:
    try:
        return open_file(path, flags)
    except FileNotFoundError:  # its directory is gone, or was never made
        make_directory(Path(path).parent)
        return open_file(path, flags)
