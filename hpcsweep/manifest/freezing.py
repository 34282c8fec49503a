"""Write a frozen manifest, and check what one has on disk. No task does either."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsweep import files
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FILE_NAME, FrozenManifest
from hpcsweep.sources.caselines import CASES_FILE, OFFSETS_FILE
from hpcsweep.sources.kept import kept_files, read_bits
from hpcsweep.sources.linefiles import LineFiles
from hpcsweep.undo import UndoLog

if TYPE_CHECKING:
    from hpcsweep.sources.base import ParameterSource


def missing_files(directory: Path, manifest: FrozenManifest) -> set[str]:
    """The names of the files of a version that are not in its directory."""
    expected = {FILE_NAME, *kept_files(manifest.source)}
    if manifest.cases_sha256 is not None:
        expected |= {CASES_FILE, OFFSETS_FILE}
    return expected.difference(files.names(directory))


def check_cases(directory: Path, manifest: FrozenManifest) -> None:
    """Read the files of explicit cases and of conditions, if there are any; compare their digests.

    Those of the earlier versions that this one continues, too: its tasks read them. The offsets of
    its own cases are checked by `open_source`, which reads them anyway.
    *Raises* SweepError when one is missing or was changed.
    """
    for name in kept_files(manifest.source):
        read_bits(directory, name)
    if manifest.cases_sha256 is None:
        return
    # See `LineCases.extends`: such a version has appended cases, and so have those before it.
    is_grown = bool(manifest.source.get("extends"))
    for earlier, _, digest in manifest.source.get("segments", ()):
        lines = LineFiles(directory.parent / earlier, 0, 0, 1, is_grown=is_grown)
        lines.check_digest(digest)
        lines.check_sizes()
        is_grown = True  # the first version alone has the cases of a manifest
    LineFiles(directory, 0, 0, 1, is_grown=is_grown).check_digest(manifest.cases_sha256)


def write(
    sweep_dir: Path,
    manifest: FrozenManifest,
    source: ParameterSource,
    made: UndoLog | None = None,
) -> Path:
    """Write `manifests/<fingerprint>/`, complete and durable, and read it back. Returns its path.

    `made` records what this call created; not what it wrote again after a site purged it.
    *Raises* SweepError, also if an earlier copy was damaged. *Writes* a temporary sibling, whose
    name begins with a dot, and renames it. *Safe to repeat*, also concurrently.
    """
    made = made or UndoLog()
    parent = made.directory(sweep_dir / "manifests")
    directory = parent / manifest.fingerprint
    with contextlib.suppress(OSError):  # a site that purges old files leaves directories
        directory.rmdir()
    if directory.name not in files.names(parent):
        # Another process may freeze the same manifest concurrently.
        with contextlib.suppress(FileExistsError), made.whole(directory) as temporary:
            _write_files(temporary, manifest, source)
    elif missing := missing_files(directory, manifest):
        _write_missing(directory, manifest, source, missing)
    frozen.read(directory)
    check_cases(directory, manifest)
    return directory


def _write_files(directory: Path, manifest: FrozenManifest, source: ParameterSource) -> None:
    source.write_frozen(directory)
    files.write_new(directory / FILE_NAME, files.json_bytes(frozen.to_json(manifest)))


def _write_missing(
    directory: Path, manifest: FrozenManifest, source: ParameterSource, missing: set[str]
) -> None:
    """Write the files of a version that a site has purged: all in a sibling, then those missing.

    A kill leaves the sibling, and a version that lacks files still. *Raises* SweepError.
    """
    temporary = directory.with_name(f".{directory.name}.{files.token()}")
    try:
        files.mkdir(temporary)
        _write_files(temporary, manifest, source)
        check_cases(temporary, manifest)
        # The record is the last: what it names is there.
        for name in sorted(missing, key=lambda name: (name == FILE_NAME, name)):
            with contextlib.suppress(FileExistsError):  # another process writes them, too
                os.link(temporary / name, directory / name)
        files.fsync_path(directory)
    except OSError as error:
        raise files.unwritable(directory, error) from error
    finally:
        files.remove_tree(temporary)
