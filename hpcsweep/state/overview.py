"""An overview of a directory of sweeps: what each index says, without a query to any cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpcsweep.cluster import registry
from hpcsweep.errors import HpcsweepError
from hpcsweep.files import names
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.moments import epoch_s
from hpcsweep.state.status import status
from hpcsweep.store.ingest import known_index
from hpcsweep.sweepdir.archive import head_of, is_archive
from hpcsweep.sweepdir.directory import LOCAL_SUFFIX, MARKER, SweepDirectory
from hpcsweep.sweepdir.disk_usage import bytes_on_disk
from hpcsweep.sweepdir.followers import is_sent_when
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.sweepdir.removed import removed_name

# Directories that are measured at once: on a network file system a call waits for its server.
MEASURED_AT_ONCE = 8


class EntryKind(StrEnum):
    """What an entry of a directory of sweeps is."""

    SWEEP = "sweep"
    # A sweep that cannot be read.
    DAMAGED = "damaged"
    # What is left of a removal or a copy that was interrupted.
    REMOVED = "removed"
    # A sweep in a tar, which can be read as it is.
    ARCHIVE = "archive"
    # Runs of `hpcsweep run`.
    LOCAL = "local"
    # A directory that is no sweep.
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """One entry of a directory of sweeps.

    Examples:
        >>> all(isinstance(one, hs.Overview) for one in hs.list_sweeps())
        True
    """

    name: str
    path: str
    kind: EntryKind
    # Count of its cases, and of these by status; None and empty if they are not known.
    cases: int | None = None
    counts: Mapping[Status, int] = field(default_factory=dict)
    # When something was last submitted: UTC, ISO 8601.
    submitted: str | None = None
    # Bytes on disk; None if nobody looked.
    size_bytes: int | None = None
    # Why something is not known, or what it waits for; "" for nothing.
    note: str = ""

    @property
    def age_s(self) -> float | None:
        """Seconds since something was last submitted; None before that.

        Examples:
            >>> [one.age_s >= 0 for one in hs.list_sweeps() if one.name == "swing"]
            [True]
        """
        if self.submitted is None:
            return None
        return time.time() - epoch_s(self.submitted)

    def to_json(self) -> dict[str, Any]:
        """The part of `list --json`.

        Examples:
            >>> [one.to_json()["cases"] for one in hs.list_sweeps() if one.name == "swing"]
            [3]
        """
        counts = {status.value: self.counts.get(status, 0) for status in Status}
        return asdict(self) | {"counts": counts if self.cases is not None else None}


def overviews(
    root: Path, settings: Settings, *, refresh: bool = False, measure: bool = True
) -> list[Overview]:
    """What the directories in `root` are, by name. `measure`: with their sizes on disk.

    It reads each index as it is; `refresh` brings it up to date and polls the cluster first, and
    *writes* as `status`. *Raises* SweepError if `root` cannot be read.
    """
    found = list(_entries(root, settings if refresh else None))
    if not measure:
        return found
    with ThreadPoolExecutor(MEASURED_AT_ONCE) as pool:
        sizes = pool.map(bytes_on_disk, [Path(entry.path) for entry in found])
        return [replace(entry, size_bytes=size) for entry, size in zip(found, sizes, strict=True)]


def _entries(root: Path, settings: Settings | None) -> Iterator[Overview]:
    for name in names(root):
        path = root / name
        removed = removed_name(name)
        if path.suffix == ".tar" and path.is_file() and is_archive(path):
            yield _archived(path)
        if not path.is_dir() or (name.startswith(".") and not removed):
            continue
        entry = Overview(name=name, path=str(path), kind=EntryKind.OTHER)
        if removed:
            argument = argument_for(removed, str(root / removed))
            note = f"`hpcsweep rm {argument}` finishes it"
            yield replace(entry, name=removed, kind=EntryKind.REMOVED, note=note)
        elif _may_be_sweep(path):
            yield overview_of(path, settings)
        elif name.endswith(LOCAL_SUFFIX):
            yield replace(entry, kind=EntryKind.LOCAL)
        else:
            yield entry


def _may_be_sweep(path: Path) -> bool:
    """Whether a directory is a sweep, or may not be read: of that `overview_of` says why."""
    try:
        return (path / MARKER).is_file()
    except OSError:
        return True


def _archived(path: Path) -> Overview:
    """What the head of an archive says of its sweep."""
    entry = Overview(name=path.name, path=str(path), kind=EntryKind.ARCHIVE)
    try:
        inside = head_of(path)["overview"]
        counts = {Status(status): count for status, count in (inside["counts"] or {}).items()}
        return replace(entry, cases=inside["cases"], counts=counts, submitted=inside["submitted"])
    except HpcsweepError as error:
        return replace(entry, kind=EntryKind.DAMAGED, note=str(error))


def overview_of(path: Path, settings: Settings | None = None) -> Overview:
    """What is known of a sweep; an error is part of the answer.

    With `settings` its index is brought up to date and its cluster polled; see `overviews`.
    """
    entry = Overview(name=path.name, path=str(path), kind=EntryKind.SWEEP)
    try:
        sweep = SweepDirectory.open(Path(entry.path))
        numbers = sweep.submissions()
        if not numbers:
            when = is_sent_when(sweep.path)
            return replace(entry, note=f"is sent when {when}" if when else "nothing was submitted")
        submitted = sweep.plan(numbers[-1])[1].get("time")
        entry = replace(entry, submitted=submitted, cases=sweep.newest().source.n_cases)
        if settings is not None:
            summary = status(sweep, registry.open_recorded(sweep, settings), settings)
            return replace(entry, counts=summary.counts)
        return _counted(entry, sweep)
    except HpcsweepError as error:
        kind = EntryKind.DAMAGED if entry.cases is None else EntryKind.SWEEP
        return replace(entry, kind=kind, note=str(error))


def _counted(entry: Overview, sweep: SweepDirectory) -> Overview:
    """The counts of the index as it is; what no attempt began is pending."""
    sweep_index = known_index(sweep)
    if sweep_index is None:
        return replace(entry, note="no index yet: `hpcsweep list --refresh` makes it")
    counts: Counter[Status] = Counter()
    for group in sweep_index.case_groups():
        counts[Status(group.status)] += group.indices.count
    counts[Status.PENDING] += (entry.cases or 0) - counts.total()
    return replace(entry, counts=dict(counts))
