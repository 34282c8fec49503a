"""Keep the user's code with a submission: a copy that no later edit changes.

    code/<digest>/    the kept files, at their paths relative to the manifest's directory;
                      beside them a link to every other entry, so that code finds its data

Tasks import and execute the copies. Files that are not kept are read where they are.
"""

from __future__ import annotations

import contextlib
import os
import py_compile
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hpcsweep import target
from hpcsweep.errors import Damaged, InputError, SweepError, TargetError
from hpcsweep.files import (
    create_file,
    fsync_path,
    make_directory,
    names,
    open_regular,
    unwritable,
)
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.provenance import tracked_files
from hpcsweep.submission.preflight import Checked
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.undo import UndoLog

# Limits of the files that git tracks: larger ones are data, and none is kept if there are more.
SMALL_MAX, SMALL_BYTES_MAX = 1000, 1 << 20
# Limits of the files that patterns match, and of a file that a command names.
MATCHED_MAX, NAMED_BYTES_MAX = 10_000, 1 << 28
# Largest number of links in one directory.
LINKS_MAX = 1000
_NEVER_LINKED = {".git", "__pycache__"}


def keep_code(
    sweep: SweepDirectory,
    manifest: FrozenManifest,
    checked: Checked,
    made: UndoLog,
    notify: Callable[[str], None],
) -> str | None:
    """Copy the user's code into the sweep. Returns the name of the copy; None if none is kept.

    `made` records what this call created.
    *Raises* SweepError, also if the code is changed meanwhile; TargetError for code that cannot be
    read; InputError for patterns of no file, or of too many.
    *Writes* `code/<digest>/`. *Safe to repeat*, also concurrently.
    """
    if manifest.snapshot is None:
        return None
    root = Path(manifest.root)
    kept = sorted(_kept_names(sweep, manifest, checked.code_files, notify))
    if not kept:
        return None
    digest = _digest(root, kept)
    copy = sweep.code_dir(digest)
    if digest not in names(made.directory(sweep.code_root)):
        # Another process may keep the same code concurrently.
        with contextlib.suppress(FileExistsError):
            with made.whole(copy) as temporary:
                _copy(root, kept, temporary)
                _compile(checked.code_files, temporary, copy)
            for path in _below(copy):
                made.note(path)
    if _digest(copy, kept) != digest:
        raise Damaged(
            f"is not the code of {root} any more",
            where=str(copy),
            next_step="Remove this directory, and run the same command again.",
        )
    _refuse_changed(manifest, checked, copy, kept)
    return digest


def link_data(
    sweep: SweepDirectory,
    manifest: FrozenManifest,
    digest: str,
    made: UndoLog,
    *,
    unread: Path | None = None,
) -> None:
    """Link what is not kept beside what is, in each directory of a copy. *Safe to repeat.*

    `unread` is a file beside the manifest that no function reads beside its copy; the program of a
    command may. `made` records what this call created.
    """
    root, copy = Path(manifest.root), sweep.code_dir(digest)
    # What contains the sweep is not linked: whoever follows links would go round in circles.
    not_linked = {sweep.path, *sweep.path.parents}
    if unread is not None and not manifest.target.is_command:
        not_linked.add(root / unread.name)
    kept = (path for path in _below(copy) if path.is_dir() and not path.is_symlink())
    for directory in (copy, *(path for path in kept if path.name not in _NEVER_LINKED)):
        original, present = root / directory.relative_to(copy), set(names(directory))
        others = [
            name
            for name in names(original)
            if name not in present | _NEVER_LINKED and original / name not in not_linked
        ]
        for name in others[:LINKS_MAX]:
            link = directory / name
            try:
                link.symlink_to(original / name)
            except FileExistsError:
                continue
            except OSError as error:
                raise unwritable(link, error) from error
            made.note(link)


# --- which files ---------------------------------------------------------------------------------


def _kept_names(
    sweep: SweepDirectory,
    manifest: FrozenManifest,
    code_files: Iterable[str],
    notify: Callable[[str], None],
) -> Iterator[str]:
    """The files to keep, relative to the manifest's directory; each once."""
    root = Path(manifest.root)
    kept = set()
    for name in code_files:
        size = _size(root, name)
        if size is not None and size > NAMED_BYTES_MAX:
            notify(f"{name} is too large to be kept with the submission: do not change it.")
        elif size is not None and not _is_for_execution_alone(manifest, root / name):
            kept.add(name)
    if manifest.snapshot:
        kept.update(_matched(root, manifest.snapshot))
    else:
        kept.update(_small(root, tracked_files(root) or _neighbours(root, kept)))
    for name in kept:
        if not (root / name).is_relative_to(sweep.path):
            yield name


def _is_for_execution_alone(manifest: FrozenManifest, path: Path) -> bool:
    """Whether a command may execute a file that its user may not read."""
    return manifest.target.is_command and not os.access(path, os.R_OK)


def _neighbours(root: Path, kept: Iterable[str]) -> list[str]:
    """Modules beside imported ones: a function may import them when it is called."""
    parents = {Path(name).parent for name in kept if name.endswith(".py")}
    return [
        (parent / name).as_posix()
        for parent in parents
        for name in names(root / parent)
        if name.endswith(".py")
    ]


def _small(root: Path, files: Iterable[str]) -> list[str]:
    """Those files that are small; none if there are many."""
    sizes = {name: _size(root, name) for name in files}
    small = [name for name, size in sizes.items() if size is not None and size <= SMALL_BYTES_MAX]
    return small if len(small) <= SMALL_MAX else []


def _matched(root: Path, patterns: Iterable[str] | None) -> Iterator[str]:
    """The files that match a pattern. *Raises* InputError for too many, or a pattern without."""
    count = 0
    for pattern in patterns or ():
        before = count
        for path in root.glob(pattern):
            name = path.relative_to(root).as_posix()
            if _size(root, name) is None:
                continue
            count += 1
            if count > MATCHED_MAX:
                raise InputError(
                    f"the patterns match more than {MATCHED_MAX} files",
                    where="snapshot",
                    next_step="Name the code alone; data is read where it is.",
                )
            yield name
        if count == before:
            raise InputError(
                f"no file in {root} matches {pattern!r}",
                where="snapshot",
                next_step="Patterns start at the manifest's directory: src/**/*.py.",
            )


def _size(root: Path, name: str) -> int | None:
    """The size of a regular file below the manifest's directory; None of anything else."""
    if not target.is_below(name):
        return None
    try:
        status = (root / name).stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


# --- the copy ------------------------------------------------------------------------------------


def _digest(directory: Path, kept: Iterable[str]) -> str:
    """16 hex digits over names, contents and whether a file may be executed."""
    paths = {name: directory / name for name in kept}
    return target.digest_of(
        {f"{name}*" if os.access(path, os.X_OK) else name: path for name, path in paths.items()}
    )


def _copy(root: Path, kept: Iterable[str], directory: Path) -> None:
    """Copy files durably; nobody may write the copies. *Raises* TargetError, SweepError."""
    for name in kept:
        path = directory / name
        # Python would make the directory of bytecode with the user's umask: in a sweep of a group,
        # others could then put code into it.
        make_directory(path.parent / "__pycache__" if path.suffix == ".py" else path.parent)
        try:
            original = open_regular(root / name)
        except OSError as error:
            raise TargetError(
                f"cannot be read: {error.strerror}",
                where=str(root / name),
                next_step="It is code that every task needs: check its permissions.",
            ) from error
        with original, create_file(path) as stream:
            shutil.copyfileobj(original, stream)
        mode = path.stat().st_mode & 0o444
        path.chmod(mode | (mode >> 2 if os.access(root / name, os.X_OK) else 0))
    for path in _below(directory):
        if path.is_dir():
            fsync_path(path)
    fsync_path(directory)


def _compile(code_files: Iterable[str], directory: Path, final: Path) -> None:
    """Write the bytecode of imported modules: each task would do it on its way to user code."""
    for name in code_files:
        path = directory / name
        if path.suffix == ".py" and path.is_file():
            py_compile.compile(str(path), dfile=str(final / name), doraise=False, quiet=2)


def _below(directory: Path) -> Iterator[Path]:
    """Everything below a directory, parents first; links are not followed."""
    for name in names(directory):
        path = directory / name
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _refuse_changed(
    manifest: FrozenManifest, checked: Checked, copy: Path, kept: list[str]
) -> None:
    """*Raises* SweepError if the copy is not the code that was checked."""
    root = Path(manifest.root)
    paths = {name: (copy if name in kept else root) / name for name in checked.code_files}
    if target.digest_of(paths) != checked.code_digest:
        raise SweepError(
            "the code was changed while it was submitted",
            where=manifest.target.text,
            next_step="Run the same command again.",
        )
