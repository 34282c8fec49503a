"""Take back what a failed command created: exactly that, never what another process created."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from hpcsweep.files import (
    create_directories,
    fsync_path,
    mkdir,
    names,
    remove_tree,
    token,
    unwritable,
    write_new,
)


class UndoLog:
    """What this process created with exclusive operations, so that exactly this can be removed."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def directory(self, path: Path) -> Path:
        """Create `path` and its missing parents. *Safe to repeat.* *Raises* SweepError."""
        try:
            self._paths += create_directories(path)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def file(self, path: Path, data: bytes) -> None:
        """Write a new file; see `write_new`. *Raises* FileExistsError."""
        write_new(path, data)
        self.note(path)

    def note(self, path: Path) -> None:
        """Record a path that this process created exclusively."""
        self._paths.append(path)

    def add(self, other: UndoLog) -> None:
        """Record what another one has recorded."""
        self._paths += other._paths

    @contextlib.contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """Yield a directory to fill, then publish it at `path`. *Raises* FileExistsError.

        A kill leaves a sibling whose name begins with a dot.
        """
        temporary = path.with_name(f".{path.name}.{token()}")
        try:
            mkdir(temporary)
            yield temporary
            filled = [path / name for name in names(temporary)]
            # Fails if the target is not empty, with ENOTEMPTY or EEXIST.
            temporary.rename(path)
        except BaseException as error:
            with contextlib.suppress(OSError):  # must not hide the original error
                remove_tree(temporary)
            if isinstance(error, OSError):
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise FileExistsError(errno.EEXIST, "File exists", str(path)) from error
                raise unwritable(path, error) from error
            raise
        self._paths += [path, *filled]
        fsync_path(path.parent)

    def undo(self) -> None:
        """Remove everything recorded, latest first; keeps directories with other content."""
        while self._paths:
            path = self._paths.pop()
            with contextlib.suppress(OSError):  # must not hide the original error
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def undo_on_error(unless: object = None) -> Iterator[UndoLog]:
    """Undo what was created if the block fails and `unless` is false then."""
    made = UndoLog()
    try:
        yield made
    except BaseException:
        if not unless:
            made.undo()
        raise
