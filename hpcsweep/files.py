"""Access to the file system: atomic writes, exclusive creates, durable directories.

All atomic writing is done by one of these. Durable: on the disk when the call returns. "Content":
the content is on the disk before the file gets its name, but a power failure may bring the old file
back. A kill leaves at most a temporary file beside `path` whose name begins with a dot.

| call | an existing file | durable | for |
|---|---|---|---|
| `write_new` | is refused | yes | facts that are written once: plans, intents, job ids |
| `create_file` | is refused | content | pieces, in a directory that is published later |
| `undo.UndoLog.whole` | is refused | yes | a directory that appears with its content |
| `replace` | is replaced | content | derived files: pointers, caches, entries |
| `replace_durably` | is replaced | yes | what cannot be made again: checkpoints |
| `replace_with_copy` | is replaced | yes | a copy of a large file: a published database |
| `replacing(durable=False)` | is replaced | no | files of a run directory |
| `atomic_output` | is replaced | no | the user's own output, by libraries that want a path |
| `write_plain` | is truncated | no | files in a directory that is renamed into place later |
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
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
# With `share: group` the group may read; the setgid bit passes the group on to new entries.
GROUP_DIRECTORY = 0o2750
GROUP_FILE = 0o640
# The sweep directories shared with the group, as this process knows; each ends with "/".
_open_to_group: set[str] = set()
# The advice if an immutable file is missing or damaged.
RESTORE = "Restore the file, or move the sweep directory away and submit the manifest again."
COPY_AT_ONCE = 1 << 20
READ_AT_ONCE = 1 << 16
# Size limit of a JSON document: a larger one was not written by this program, or is unusable.
DOCUMENT_MAX = 1 << 28
# Seconds after which an unfinished copy belongs to a dead process.
LEFT_ALONE_S = 3600.0
# ENOSPC and EDQUOT pause a sweep instead of failing its cases (invariant 12).
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Attempts against other processes that remove what this one creates.
_TRIES_MAX = 100
_count = itertools.count()


def token() -> str:
    """16 random hex digits; the name of a task start, a command or a temporary file."""
    return os.urandom(8).hex()


def open_to_group(directory: Path) -> None:
    """Let the group read what this process creates below a directory from now on."""
    _open_to_group.add(f"{directory}/")


def _is_open(path: str | Path) -> bool:
    return bool(_open_to_group) and f"{path}/".startswith(tuple(_open_to_group))


def mkdir(path: str | Path) -> None:
    """Create one directory, private or shared like its sweep, whatever the umask.

    *Raises* OSError.
    """
    os.mkdir(path, PRIVATE_DIRECTORY)
    if _is_open(path):
        os.chmod(path, GROUP_DIRECTORY)


def open_file(path: str | Path, flags: int, mode: int = PRIVATE_FILE) -> int:
    """Open a file, or create it private or shared like its sweep. Returns the descriptor.

    *Raises* OSError.
    """
    descriptor = os.open(path, flags | os.O_CREAT, mode)
    if _is_open(path):
        os.fchmod(descriptor, mode | GROUP_FILE)
    return descriptor


def make_directory(path: Path) -> Path:
    """Create `path` and its missing parents, private to the user. *Safe to repeat.*"""
    try:
        create_directories(path)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def create_directories(path: Path) -> list[Path]:
    """Create a directory and its parents; returns those that this call created.

    *Raises* OSError.
    """
    try:
        return _make_one(path)
    except FileNotFoundError:
        # Retry once only: /proc also reports a missing parent when the parent exists.
        return create_directories(path.parent) + _make_one(path)


def _make_one(path: Path) -> list[Path]:
    for _ in range(_TRIES_MAX):
        try:
            mkdir(path)
        except FileExistsError:
            # Another process may create the same directory concurrently, and remove it again.
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(path.stat().st_mode):
                    return []
                raise
            if path.is_symlink():
                raise
        else:
            return [path]
    raise FileNotFoundError(errno.ENOENT, "other processes keep removing it")


def fsync_path(path: str | Path) -> None:
    """Make the content of a file or the entries of a directory durable. *Raises* OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a new file, durably and atomically.

    *Raises* FileExistsError if `path` exists. *Writes* `path`.
    """
    temporary = ""
    try:
        descriptor, temporary = _temporary(path, mode)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, path)  # link(2) refuses an existing name; rename(2) replaces it
    except FileExistsError:
        # NFS may repeat a request whose reply was lost: then the existing name is ours.
        if os.stat(temporary).st_nlink < 2:
            raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # do not hide the first error
            os.unlink(temporary)
    fsync_path(path.parent)


@contextlib.contextmanager
def create_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file and write it in pieces; its content is durable when the block ends.

    For files in a directory that is published later: a kill leaves a partial file, and the caller
    makes the name durable. *Raises* SweepError. *Writes* `path`.
    """
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def replacing(
    path: str | Path, *, durable: bool = True, mode: int = PRIVATE_FILE, parents: bool = False
) -> Iterator[int]:
    """Yield the descriptor of a file that replaces `path` atomically when the block ends.

    A block that fails leaves the old file. `durable`: fsync the content before the rename.
    `parents`: create a missing directory. *Raises* SweepError. *Safe to repeat.*
    """
    temporary = ""
    try:
        descriptor, temporary = _temporary(path, mode, parents=parents)
        try:
            yield descriptor
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # do not hide the first error
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise unwritable(Path(path), error) from error
        raise


def replace(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace a derived file atomically: readers see the old or the new one. *Safe to repeat.*"""
    with replacing(path, mode=mode) as descriptor:
        write_all(descriptor, data)


def replace_durably(path: Path, data: bytes) -> None:
    """Replace a file that cannot be made again; remove stale temporary files of killed writers."""
    replace(path, data)
    fsync_path(path.parent)
    remove_stale_temporaries(path)


def replace_with_copy(source: Path, path: Path) -> None:
    """Replace `path` atomically by a copy of `source`, durably. *Safe to repeat.*

    Removes unfinished copies of killed processes after an hour.
    """
    with replacing(path) as descriptor, open_regular(source) as stream:
        while data := stream.read(COPY_AT_ONCE):
            write_all(descriptor, data)
    with contextlib.suppress(OSError):  # it exists already
        fsync_path(path.parent)
    remove_stale_temporaries(path)


def remove_stale_temporaries(path: Path) -> None:
    """Remove temporary files beside `path` that are an hour older than `path` itself."""
    with contextlib.suppress(OSError, SweepError):  # another process may be faster
        for name in names(path.parent):
            left = path.parent / name
            # Both times are the file server's.
            is_ours = is_temporary(name) or name.startswith(f".{path.name}.")
            if is_ours and (left.stat().st_mtime < path.stat().st_mtime - LEFT_ALONE_S):
                left.unlink()


@contextlib.contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """Yield a temporary path, published atomically at `output`; a device or pipe is yielded itself.

    For the user's own output: its mode is that of who creates it. A symbolic link stays one, as
    with a shell's `>`; one of another user is replaced: it may lead to any file of ours.
    *Raises* SweepError. *Writes* `output`.
    """
    # As root a rename onto /dev/stdout, which is a file where the shell sends it into one, would
    # replace the link of the whole system.
    is_of_system = output.absolute().parts[1:2] in (("dev",), ("proc",))
    in_place = output.exists() and (is_of_system or not output.is_file())
    target = output
    if output.is_symlink() and output.lstat().st_uid == os.geteuid():
        target = Path(os.path.realpath(output))
    path = output if in_place else target.with_name(f".{target.name}.{token()}")
    try:
        yield path
        if not in_place:
            path.replace(target)
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader has closed the pipe
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


def is_temporary(name: str) -> bool:
    """Whether `_temporary` made this name. Other hidden files belong to the user."""
    return name.startswith(".") and name[1:].replace(".", "", 1).isdecimal()


def _temporary(
    path: str | Path, mode: int = PRIVATE_FILE, *, parents: bool = False
) -> tuple[int, str]:
    """Create a unique file beside `path`; returns its descriptor and its name.

    The name is short, since that of `path` may be as long as the file system allows.
    """
    directory = os.path.dirname(path)
    while True:
        temporary = os.path.join(directory, f".{os.getpid()}.{next(_count)}")
        try:
            return open_file(temporary, os.O_WRONLY | os.O_EXCL, mode), temporary
        except FileExistsError:
            continue
        except FileNotFoundError:
            if not parents:
                raise
            make_directory(Path(directory))
            parents = False


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data` with as few write(2) calls as possible: one for a regular file."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_plain(path: Path, data: bytes) -> None:
    """Write a private file that is not published yet; not durable. *Raises* OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def json_bytes(value: Any) -> bytes:
    """A JSON document for people and programs: sorted keys, two-space indent, no NaN."""
    return (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; never blocks on a pipe, and refuses devices.

    *Raises* OSError.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    stream = open(path, "rb", opener=opener)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return stream


def read_regular(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. *Raises* OSError."""
    data = bytearray()
    too_large = OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            raise too_large
        # In pieces: a read of `limit` bytes would allocate that much memory at once. It may grow.
        while piece := stream.read(READ_AT_ONCE):
            data += piece
            if len(data) > limit:
                raise too_large
    return bytes(data)


def read_end(path: str | Path, size_max: int) -> bytes:
    """The last bytes of a regular file, at most `size_max`. *Raises* OSError."""
    with open_regular(path) as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - size_max))
        return stream.read(size_max)


def end_of_text(path: str | Path, size_max: int) -> str:
    """Like `read_end`, as text; empty if the file cannot be read."""
    try:
        return read_end(path, size_max).decode(errors="replace")
    except OSError:
        return ""


def parse_json(data: str | bytes) -> Any:
    """Parse JSON. *Raises* ValueError for invalid JSON, and for nesting that is too deep."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """The JSON document in `path`.

    *Raises* Damaged if it is missing or not JSON, SweepError if it cannot be read.
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
    """`root/relative`. *Raises* SweepError if it is outside `root` (DESIGN invariant 20)."""
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise SweepError(f"{relative!r} would leave the directory", where=str(root))
    return path


def names(path: Path) -> list[str]:
    """The names in a directory, sorted; empty if it does not exist.

    List instead of probing for a file: an NFS client caches the absence of a file that another
    node creates (30 to 60 s with default mounts), while a listing shows it.
    """
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(path, error) from error


# errno of flock(2) on a file system without locks, or without its lock daemon.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file for this process; the kernel unlocks it when the process dies.

    Returns False if another process has the lock, None if the file system has no locks.
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


def remove_tree(path: Path) -> None:
    """Remove a directory tree; removes links, not their targets."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    _empty(str(path), None)
    path.rmdir()


def _empty(name: str, parent: int | None) -> None:
    """Empty a directory by its descriptor: its path may be longer than the kernel takes."""
    # Go's module cache, for one, has directories without write permission.
    with contextlib.suppress(PermissionError):
        os.chmod(name, PRIVATE_DIRECTORY, dir_fd=parent)
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.name, directory)
                os.rmdir(entry.name, dir_fd=directory)
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=directory)
    finally:
        os.close(directory)


def remove_files(directory: Path) -> None:
    """Remove all files in a directory, which may be missing. *Safe to repeat.*"""
    for name in names(directory):
        (directory / name).unlink(missing_ok=True)


def unreadable(path: Path, error: OSError) -> SweepError:
    """The error for an existing file or directory that cannot be read."""
    return SweepError(
        f"cannot be read: {error.strerror}",
        where=str(path),
        next_step="Check its permissions: a sweep belongs to the user who submitted it.",
    )


def unwritable(path: Path, error: OSError) -> SweepError:
    """The error for a file or directory that cannot be created or written."""
    problem = SweepError(
        f"cannot be written: {error.strerror}",
        where=str(path),
        next_step="Check permissions, disk and quota, or choose another --outputs directory.",
    )
    problem.errno = error.errno  # type: ignore[attr-defined]  # shows the worker a full disk
    return problem
