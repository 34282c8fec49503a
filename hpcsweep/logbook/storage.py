"""Storage of a run's files: each is written whole or not at all, and never outside the run."""

from __future__ import annotations

import contextlib
import fcntl
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
    replacing,
    try_lock,
    unreadable,
    unwritable,
    write_all,
)
from hpcsweep.logbook.json_values import json_document

# The limit of common file systems for one name.
NAME_BYTES_MAX = 255
# Seconds that a process told to end waits for the lock of another writer of the same file.
SIGNALLED_S = 0.5


class RunStorage(Protocol):
    """Reads and writes the files of one run. Names are relative and separated by `/`.

    *Raises* InputError for an invalid name, SweepError for a name that leads outside the run and
    when a file cannot be written. An earlier file of that name is then unchanged.
    """

    def write(self, name: str, data: bytes) -> None:
        """Write a file; replace an existing one."""

    def writing(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A stream whose content becomes the file if the block ends without an exception."""

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:
        """Append to a file. A new file starts with `head`."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist."""

    def merge(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        drop: Collection[str] = (),
        lock: bool = True,
    ) -> dict[str, Any]:
        """Update a JSON object: remove the members in `drop`, set `fields`. Returns the result."""

    def path(self, name: str) -> Path:
        """A path that user code may write to. Creates the parent directories."""


class DirectoryStorage:
    """Storage in a run directory."""

    def __init__(self, root: Path | str) -> None:
        self._prefix = f"{root}/"
        # Directories that exist and are known to be inside the run.
        self._made = {""}

    @property
    def root(self) -> Path:
        """The run directory."""
        return Path(self._prefix)

    def write(self, name: str, data: bytes) -> None:
        """See `RunStorage`."""
        put(self._inside(name), data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See `RunStorage`."""
        with (
            replacing(self._inside(name), durable=False, parents=True) as descriptor,
            os.fdopen(descriptor, "wb", closefd=False) as stream,
        ):
            yield stream

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:
        """See `RunStorage`. Of several concurrent writers, exactly one writes the head."""
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
        """See `RunStorage`."""
        return read_content(self._prefix + checked_name(name))

    def merge(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        drop: Collection[str] = (),
        lock: bool = True,
    ) -> dict[str, Any]:
        """See `RunStorage`. Concurrent updates of threads and processes are all kept."""
        with self._locked(lock=lock):
            merged = merged_json(self.read(name), fields, drop)
            self.write(name, json_document(merged))
        return merged

    @contextlib.contextmanager
    def _locked(self, *, lock: bool = True) -> Iterator[None]:
        """Hold an exclusive lock. *Raises* SweepError if the directory no longer exists."""
        try:
            descriptor = os.open(self._prefix, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:  # the directory was removed
            raise unwritable(self.root, error) from error
        try:
            with contextlib.suppress(OSError):  # NFS may not lock directories
                if lock:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                else:
                    _lock_soon(descriptor)
            yield
        finally:
            os.close(descriptor)

    def path(self, name: str) -> Path:
        """See `RunStorage`."""
        path = Path(self._inside(name))
        if path.is_symlink():
            inside(self.root, checked_name(name))
        return path

    def _inside(self, name: str) -> str:
        """The full path; creates the directory. *Raises* SweepError if it is outside the run."""
        name = checked_name(name)
        directory = name.rpartition("/")[0]
        if directory not in self._made:
            try:  # the usual case: one level, just created, so it is not a link
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
    """Storage of a run with `runs: none`: refuses every file."""

    def write(self, name: str, data: bytes) -> None:  # noqa: ARG002  # see `RunStorage`
        """*Raises* InputError."""
        self._refuse()

    def writing(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:  # noqa: ARG002
        """*Raises* InputError."""
        self._refuse()

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:  # noqa: ARG002
        """*Raises* InputError."""
        self._refuse()

    def read(self, name: str) -> bytes | None:  # noqa: ARG002  # see `RunStorage`
        """None: no file exists."""
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

    def path(self, name: str) -> Path:  # noqa: ARG002  # see `RunStorage`
        """*Raises* InputError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            "this sweep keeps no run directories, so no file can be written",
            next_step="Write `runs: all` into the manifest, or report metrics only.",
        )


@lru_cache(maxsize=1000)
def checked_name(name: str) -> str:
    """The normalized relative name. *Raises* InputError, SweepError; see `RunStorage`."""
    if not isinstance(name, str):
        raise InputError(f"a file's name is text, not a {type(name).__name__}")
    if not name.isprintable():  # a newline would also break the log
        raise InputError(f"{name!r} is not a valid file name: it has unprintable characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts:
        raise InputError(f"{name!r} is not a valid file name")
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
    """Lock a file within SIGNALLED_S, or go on: the signal may have interrupted the owner."""
    deadline = time.monotonic() + SIGNALLED_S
    while try_lock(descriptor) is False and time.monotonic() <= deadline:
        time.sleep(0.005)


def read_content(path: str) -> bytes | None:
    """The bytes of a file; None if it does not exist. *Raises* SweepError if it is unreadable."""
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
    """The JSON object in `text` without the members in `drop`, updated with `fields`."""
    try:
        document = parse_json(text) if text else {}
    except ValueError:
        document = {}
    kept = document if isinstance(document, dict) else {}
    return {name: value for name, value in kept.items() if name not in drop} | dict(fields)


def put(path: str, data: bytes) -> None:
    """Replace a file of a run atomically. It is not fsynced.

    Journals hold the outcomes and are fsynced. A power failure may empty a run directory: that
    loses its files, not the result.
    """
    with replacing(path, durable=False, parents=True) as descriptor:
        write_all(descriptor, data)


def create(path: str, data: bytes) -> None:
    """Write the first file of a run; replace an existing one atomically.

    A kill may leave a part of a new file: there are no metadata yet, so it is no run.
    """
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_EXCL)
    except FileExistsError:
        put(path, data)
        return
    except OSError as error:
        raise unwritable(Path(path), error) from error
    try:
        write_all(descriptor, data)
    except OSError as error:
        raise unwritable(Path(path), error) from error
    finally:
        os.close(descriptor)


def _open(path: str, flags: int) -> int:
    try:
        return open_file(path, flags)
    except FileNotFoundError:  # the directory was removed or never created
        make_directory(Path(path).parent)
        return open_file(path, flags)
