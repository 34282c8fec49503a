"""Restore packed runs as plain directories, at the paths that `runs: all` would use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hpcsweep.errors import Damaged, InputError, SweepError
from hpcsweep.files import make_directory, remove_tree
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.packs import PackedFiles, PackLocation, is_hole
from hpcsweep.logbook.storage import DirectoryStorage
from hpcsweep.runs.find import DamageReport, kept_files
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


def unpack(
    sweep: SweepDirectory, report: DamageReport, selected: IndexSet | None = None
) -> Iterator[Path]:
    """Restore the cases of these indices, or all. The packs stay.

    Yields the directories; existing ones are left unchanged. `report` collects cases whose files
    are missing or damaged. *Safe to repeat.* *Raises* InputError if none of them is packed.
    *Writes* `runs/…/log_…/`.
    """
    sweep.writable()
    is_packed = False
    with fresh_index(sweep) as sweep_index:
        for row in sweep_index.rows(within=selected):
            if PackLocation.parse(row["run_dir"] or "") is None:
                continue
            is_packed = True
            target = None
            with report.collecting(row):
                target = _restore(sweep, row)
            if target is not None:
                yield target
    if not is_packed and (selected is None or selected):
        raise InputError(
            "nothing is packed" if selected is None else "no selected case is packed",
            where=str(sweep.path),
            next_step="Runs are packed if the manifest has `runs: packed`.",
        )


def _restore(sweep: SweepDirectory, row: IndexRow) -> Path | None:
    """Restore a packed run; None if the directory exists already, or nothing is packed."""
    files = kept_files(sweep, row)
    if not isinstance(files, PackedFiles):  # unpacked before, and the pack was removed
        return None
    plan, _ = sweep.plan(row["submission"])
    target = sweep.path / plan.layout.run_dir(row["case_id"], files.run_id)
    if target.exists():
        return None
    make_directory(target.parent)
    unpack_run(files, target)
    return target


def unpack_run(run: PackedFiles, target: Path) -> None:
    """Restore a run as a plain directory, atomically.

    *Raises* SweepError if `target` exists, Damaged.
    """
    if target.exists():
        raise SweepError("exists already", where=str(target))
    aside = target.with_name(f".{target.name}.unpacking")
    folder = DirectoryStorage(aside)
    try:
        for name in run.names():
            with folder.writing(name) as stream:
                for piece in run.pieces(name):
                    if is_hole(piece):
                        stream.seek(len(piece), os.SEEK_CUR)
                    else:
                        stream.write(piece)
                stream.truncate()  # a hole may be at the end
    except Damaged:
        remove_tree(aside)
        raise
    except InputError as error:  # a program may give a file any name
        remove_tree(aside)
        raise Damaged(error.what, next_step="`tar -xf` restores it from the pack.") from error
    aside.rename(target)
