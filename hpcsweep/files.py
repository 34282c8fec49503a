"""The seam to the file system: atomic writes, exclusive creates, durable directories."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from hpcsweep.errors import Damaged, SweepError

# Directories are private by default (DESIGN invariant 22).
PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
# With `share: group` the group may read; its bit keeps the group on what is created below.
GROUP_DIRECTORY = 0o2750
GROUP_FILE = 0o640
# The sweep directories that are so, as this process knows; each ends with "/".
_open_to_group: set[str] = set()
# What next, where a file that is never rewritten is gone or is not as it was.
RESTORE = "Restore the file, or move the sweep directory away and submit the manifest again."
COPY_AT_ONCE = 1 << 20
READ_AT_ONCE = 1 << 16
# Bytes of a JSON document: what is larger was not written by this program, or cannot be used.
DOCUMENT_MAX = 1 << 28
# Seconds after which a copy that did not get to its place is a dead process's.
LEFT_ALONE_S = 3600.0
# ENOSPC and EDQUOT pause a sweep instead of failing its cases (invariant 12).
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def token() -> str:
    """16 random hex digits: names one task start, one command, one temporary file."""
    return os.urandom(8).hex()


def open_to_group(directory: Path) -> None:
    """From now on, what this process makes below a directory can be read by the group."""
    _open_to_group.add(f"{directory}/")


def _is_open(path: str | Path) -> bool:
    return bool(_open_to_group) and f"{path}/".startswith(tuple(_open_to_group))


def mkdir(path: str | Path) -> None:
    """Make one directory, private or as open as its sweep is, whatever the umask.

    *Raises* OSError.
    """
    os.mkdir(path, PRIVATE_DIRECTORY)
    if _is_open(path):
        os.chmod(path, GROUP_DIRECTORY)


def open_file(path: str | Path, flags: int, mode: int = PRIVATE_FILE) -> int:
    """The descriptor of a file that may have to be made, private or as open as its sweep is.

    *Raises* OSError.
    """
    descriptor = os.open(path, flags | os.O_CREAT, mode)
    if _is_open(path):
        os.fchmod(descriptor, mode | GROUP_FILE)
    return descriptor


def make_directory(path: Path) -> Path:
    """Make `path` and its missing parents, private to the user. *Safe to repeat.*"""
    try:
        _make_directory(path)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _make_directory(path: Path) -> list[Path]:
    """The directories that this call made, of those that are there now."""
    try:
        return _make_one(path)
    except FileNotFoundError:
        # Once more and not again: /proc says this of a directory whose parent is there, too.
        return _make_directory(path.parent) + _make_one(path)


def _make_one(path: Path) -> list[Path]:
    try:
        mkdir(path)
    except FileExistsError:  # another process may make the same directory at the same time
        if not path.is_dir():
            raise
        return []
    return [path]


def fsync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a file that must not exist yet, whole and durable or not at all.

    *Raises* FileExistsError when `path` exists. *Writes* `path`; a kill leaves at most a
    temporary file beside it, whose name begins with a dot.
    """
    temporary = _write_temporary(path, data, mode)
    try:
        os.link(temporary, path)  # link(2) refuses an existing name, which rename(2) does not
    except FileExistsError:
        # Over NFS an answer may be lost and the request be sent again: then the name is ours.
        if os.stat(temporary).st_nlink < 2:
            raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        os.unlink(temporary)
    fsync_directory(path.parent)


@contextlib.contextmanager
def create_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that must not exist yet, to be written in pieces; durable when the block ends.

    For a directory that gets its own name when it is whole: a kill leaves a part of the file, and
    its name is for the caller to make durable. *Raises* SweepError. *Writes* `path`.
    """
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error


def replace(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a derived file: readers see the old one or the new one. *Safe to repeat.*"""
    os.replace(_write_temporary(path, data, mode), path)


def replace_with_copy(source: Path, path: Path) -> None:
    """Put a copy of a file in the place of `path`: readers see the old one or the new one.

    *Writes* `path`, durably; what a kill left of another copy is removed after an hour.
    *Safe to repeat.*
    """
    temporary = path.with_name(f".{path.name}.{token()}")
    try:
        with open_regular(source) as stream:
            descriptor = open_file(temporary, os.O_WRONLY | os.O_EXCL)
            try:
                while data := stream.read(COPY_AT_ONCE):
                    write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise unwritable(path, error) from error
    with contextlib.suppress(OSError):  # it is there
        fsync_directory(path.parent)
    remove_stale_temporaries(path)


def remove_stale_temporaries(path: Path) -> None:
    """Remove what kills left of writes to `path`, an hour before it became what it is now."""
    with contextlib.suppress(OSError, SweepError):  # somebody else may be quicker
        for name in names(path.parent):
            left = path.parent / name
            # Both times are the file server's own.
            if name.startswith(f".{path.name}.") and (
                left.stat().st_mtime < path.stat().st_mtime - LEFT_ALONE_S
            ):
                left.unlink()


@contextlib.contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """Where to write what shall appear at `output`, whole. A device or pipe is not replaced.

    For what a user asked for: its mode is the umask's. *Raises* SweepError. *Writes* `output`.
    """
    in_place = output.exists() and not output.is_file()
    path = output if in_place else output.with_name(f".{output.name}.{token()}")
    try:
        yield path
        if not in_place:
            path.replace(output)
    except OSError as error:
        if error.errno == errno.EPIPE:  # a reader that has enough
            raise
        raise SweepError(
            f"cannot be written: {error.strerror or error}",
            where=str(output),
            next_step="Name a file in a directory that is there and may be written.",
        ) from error
    finally:
        if not in_place:
            with contextlib.suppress(OSError):
                path.unlink()


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{token()}")
    try:
        descriptor = open_file(temporary, os.O_WRONLY | os.O_EXCL, mode)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise unwritable(path, error) from error
    return temporary


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data` with as few write(2) calls as the kernel allows: one, for a regular file."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_plain(path: Path, data: bytes) -> None:
    """Write a private file that nobody else sees yet; it is not durable. *Raises* OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def json_bytes(value: Any) -> bytes:
    """A JSON document for people and programs: sorted keys, two spaces, no NaN."""
    return (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()


def open_regular(path: str | Path) -> BufferedReader:
    """A regular file to read from: nothing waits here for a pipe's writer, or reads a device.

    *Raises* OSError.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    stream = open(path, "rb", opener=opener)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return stream


def read_regular(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. *Raises* OSError."""
    data = bytearray()
    with open_regular(path) as stream:
        # In pieces: for a read of `limit` bytes Python would set so much memory aside.
        while piece := stream.read(READ_AT_ONCE):
            data += piece
            if len(data) > limit:
                raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    return bytes(data)


def parse_json(data: str | bytes) -> Any:
    """A JSON value. *Raises* ValueError for whatever is none, too deep a nesting included."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """The JSON document in `path`.

    *Raises* Damaged when it is missing or not JSON, SweepError when it cannot be read.
    """
    try:
        return parse_json(read_regular(path, DOCUMENT_MAX))
    except FileNotFoundError as error:
        what = "there is no such file"
        raise Damaged(what, where=str(path), next_step=RESTORE) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        what = f"is damaged, it is not JSON: {error}"
        raise Damaged(what, where=str(path), next_step=RESTORE) from error


def inside(root: Path, relative: str) -> Path:
    """`root/relative`, refused when it would leave `root` (DESIGN invariant 20)."""
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise SweepError(f"{relative!r} would leave the directory", where=str(root))
    return path


def names(path: Path) -> list[str]:
    """The names in a directory, sorted; empty when there is none.

    Listing, not probing: an NFS client may deny a file that another node made for as long as its
    negative look-up is cached, while a listing shows it (facts: 30 to 60 s with default mounts).
    """
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(path, error) from error


# What flock(2) says where a file system has no locks, or its lock daemon is away.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file for this process; the kernel lets go when it dies.

    False when another process has it, None where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


class UndoLog:
    """What this process made by acts that fail where there is something, to take back just that."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def directory(self, path: Path) -> Path:
        """Make `path` and its missing parents. *Safe to repeat.* *Raises* SweepError."""
        try:
            self._paths += _make_directory(path)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def file(self, path: Path, data: bytes) -> None:
        """Write a file that must not exist yet, see `write_new`. *Raises* FileExistsError."""
        write_new(path, data)
        self.note(path)

    def note(self, path: Path) -> None:
        """Note what this process has just made, and nobody else can have made."""
        self._paths.append(path)

    @contextlib.contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """Where to fill a directory that appears at `path` whole. *Raises* FileExistsError.

        A kill leaves a sibling whose name begins with a dot.
        """
        temporary = path.with_name(f".{path.name}.{token()}")
        try:
            mkdir(temporary)
            yield temporary
            filled = [path / name for name in names(temporary)]
            # Fails where there is something: ENOTEMPTY or EEXIST, the system chooses.
            os.rename(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):  # it must not hide what went wrong
                remove_tree(temporary)
            if isinstance(error, OSError):
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise FileExistsError(errno.EEXIST, "File exists", str(path)) from error
                raise unwritable(path, error) from error
            raise
        self._paths += [path, *filled]
        fsync_directory(path.parent)

    def undo(self) -> None:
        """Remove it, latest first; directories that hold anything else stay."""
        while self._paths:
            path = self._paths.pop()
            with contextlib.suppress(OSError):  # it must not hide what went wrong
                os.rmdir(path) if path.is_dir() else os.unlink(path)


@contextlib.contextmanager
def undo_on_error(unless: object = None) -> Iterator[UndoLog]:
    """Take back what was made, when the block fails and `unless` is false by then."""
    made = UndoLog()
    try:
        yield made
    except BaseException:
        if not unless:
            made.undo()
        raise


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, links themselves rather than what they name."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for entry in os.scandir(path):
        remove_tree(Path(entry.path))
    path.rmdir()


def unreadable(path: Path, error: OSError) -> SweepError:
    """The error for a file or directory that is there and cannot be read."""
    return SweepError(
        f"cannot be read: {error.strerror}",
        where=str(path),
        next_step="Check its permissions: a sweep belongs to the user who submitted it.",
    )


def unwritable(path: Path, error: OSError) -> SweepError:
    """The error for a file or directory that cannot be made or written."""
    problem = SweepError(
        f"cannot be written: {error.strerror}",
        where=str(path),
        next_step="Check permissions, disk and quota, or choose another --outputs directory.",
    )
    problem.errno = error.errno  # type: ignore[attr-defined]  # the worker tells a full disk by it
    return problem
