"""Unpack: packed runs as plain directories, where `runs: all` would have put them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import make_directory
from hpcsweep.ingest import fresh_store
from hpcsweep.logbook.packs import PackedFiles
from hpcsweep.logbook.place import Folder
from hpcsweep.rundirs import run_files


def unpack(sweep: SweepDirectory, case: str | None = None) -> Iterator[Path]:
    """Restore one case, by its index or the start of its case id, or all; the packs stay.

    Gives the directories; those that are there already are left alone. *Safe to repeat.*
    *Raises* InputError when no case is meant, or one that is not packed. *Writes* `runs/…/log_…/`.
    """
    found = False
    with fresh_store(sweep) as store:
        rows = store.rows() if case is None else store.find(case)
        if case is not None and len({row["case_id"] for row in rows}) > 1:
            raise InputError(f"{case!r} begins several case ids", next_step="Give more digits.")
        for row in rows:
            files = run_files(sweep, row)
            if not isinstance(files, PackedFiles):
                continue
            found = True
            plan, _ = sweep.plan(row["submission"])
            target = sweep.path / plan.layout.run_dir(row["case_id"], files.run_id)
            if not target.exists():
                make_directory(target.parent)
                unpacked(files, target)
                yield target
    if not found:
        raise InputError(
            "nothing is packed" if case is None else f"no case {case!r} is packed",
            where=str(sweep.path),
            next_step="Runs are packed where the manifest says `runs: packed`.",
        )


def unpacked(run: PackedFiles, target: Path) -> None:
    """Restore a run as a plain directory. *Raises* SweepError when `target` is there."""
    if target.exists():
        raise SweepError("is there already", where=str(target))
    aside = target.with_name(f".{target.name}.unpacking")
    folder = Folder(aside)
    for name in run.names():
        with folder.writing(name) as stream:
            for piece in run.pieces(name):
                stream.write(piece)
    aside.rename(target)
