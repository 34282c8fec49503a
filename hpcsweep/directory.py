"""The sweep directory: what lies where (DESIGN section 4), and who may change it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.files import (
    GROUP_DIRECTORY,
    RESTORE,
    json_bytes,
    make_directory,
    names,
    open_file,
    open_to_group,
    read_json,
    token,
    try_lock,
    unreadable,
    unwritable,
    write_new,
)
from hpcsweep.plan import Plan, read_plan

FORMAT = 1
MARKER = "sweep.json"
_PART_FILE = re.compile(r"part-(\d+)\.(intent|job|void|cancel)\.json")


@dataclass(frozen=True, slots=True)
class SweepDirectory:
    """One sweep on disk. Makes nothing by being looked at."""

    path: Path
    name: str
    # 16 hex digits: names the sweep in a store and in job names; survives a move of the directory.
    key: str
    # "private" or "group", for ever.
    share: str = "private"

    @classmethod
    def open(cls, path: Path) -> SweepDirectory:
        """The sweep in `path`. *Raises* SweepError when there is none."""
        marker = path / MARKER
        try:
            is_sweep = marker.is_file()
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_sweep:
            raise SweepError(
                "is not a sweep directory",
                where=str(path),
                next_step="Name a directory that `hpcsweep submit` made, a sweep's name, "
                "or its manifest.",
            )
        value = read_json(marker)
        try:
            if value["format"] != FORMAT:
                raise SweepError(
                    f"has format {value['format']}, this program reads {FORMAT}",
                    where=str(marker),
                    next_step="Use the hpcsweep that wrote it, or a newer one.",
                )
            share = value.get("share", "private")
            found = cls(path.resolve(), value["name"], value["key"], share)
        except (KeyError, TypeError) as error:
            what = f"is damaged: {error!r}"
            raise SweepError(what, where=str(marker), next_step=RESTORE) from error
        if found.share == "group":
            open_to_group(found.path)
        return found

    @classmethod
    def create(cls, path: Path, name: str, share: str = "private") -> SweepDirectory:
        """Make a sweep directory, or open the one of this name. *Safe to repeat.*

        `share` is the manifest's. *Raises* SweepError when the directory is something else.
        *Writes* `sweep.json`.
        """
        # What a create leaves behind that was killed while it wrote the marker is in nobody's way.
        found = {name for name in names(path) if not name.startswith(f".{MARKER}.")}
        if path.exists() and MARKER not in found and (found or not path.is_dir()):
            raise SweepError(
                "is in the way: it is not a sweep directory",
                where=str(path),
                next_step="Move it, or choose another name or --outputs directory.",
            )
        if MARKER not in found:
            _make(path, share)
            marker = {"format": FORMAT, "name": name, "key": token()}
            marker |= {"share": share} if share != "private" else {}
            with contextlib.suppress(FileExistsError):
                write_new(path / MARKER, json_bytes(marker))
        sweep = cls.open(path)
        if sweep.name != name:
            raise SweepError(
                f"belongs to the sweep {sweep.name!r}, not {name!r}",
                where=str(path),
                next_step="Give the manifest another name, or choose another --outputs directory.",
            )
        if sweep.share != share:
            raise SweepError(
                f"was made with share: {sweep.share}, and the manifest says {share}",
                where=str(path),
                next_step=f"Write share: {sweep.share}, or give the manifest another name; `chmod "
                "-R g+rX` opens to the group what is finished, `chmod -R g-rwx` closes it.",
            )
        return sweep

    def manifest_dir(self, fingerprint: str) -> Path:
        """Where one version of the frozen manifest lies."""
        return self.path / "manifests" / fingerprint

    @property
    def journal_root(self) -> Path:
        """The directory of all journals."""
        return self.path / "journal"

    def journal_dir(self, submission: int) -> Path:
        """The journals of one submission."""
        return self.journal_root / f"{submission:04d}"

    def log_dir(self, submission: int) -> Path:
        """Slurm's own output of one submission, a file per array task."""
        return self.path / "logs" / f"{submission:04d}"

    def submission_dir(self, submission: int) -> Path:
        """The files of one submission."""
        return self.path / "submissions" / f"{submission:04d}"

    def submissions(self) -> list[int]:
        """The numbers of all submissions, oldest first."""
        return sorted(int(name) for name in names(self.path / "submissions") if name.isdigit())

    def plan(self, submission: int) -> tuple[Plan, dict[str, Any]]:
        """The plan of a submission and the document that holds it."""
        return read_plan(self.submission_dir(submission) / "plan.json")

    def newest_manifest(self) -> str:
        """The fingerprint whose index order holds now: the last submission's.

        *Raises* SweepError before the first submission.
        """
        numbers = self.submissions()
        if not numbers:
            raise SweepError(
                "nothing was submitted yet",
                where=str(self.path),
                next_step="Run `hpcsweep submit` with the manifest.",
            )
        return self.plan(numbers[-1])[0].manifest

    def part_file(self, submission: int, part: int, what: str) -> Path:
        """A file about one part: its `intent`, `job`, `void` or `cancel`."""
        return self.submission_dir(submission) / f"part-{part:04d}.{what}.json"

    def part_facts(self, submission: int) -> dict[int, dict[str, dict[str, Any]]]:
        """What such files say, by part and then by what they are about."""
        facts: dict[int, dict[str, dict[str, Any]]] = {}
        folder = self.submission_dir(submission)
        for name in names(folder):
            match = _PART_FILE.fullmatch(name)
            if match:
                facts.setdefault(int(match[1]), {})[match[2]] = read_json(folder / name)
        return facts

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Be the only submit or cancel at work in this sweep.

        The kernel lets go of the lock when its holder dies, so a dead one's place is free at
        once. Where locks may not reach other hosts, the holder's name in the file decides.
        *Raises* SweepBusy.
        """
        path = self.path / "submit.lock"
        try:
            descriptor = open_file(path, os.O_RDWR)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            self._lock(descriptor, path)
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, path: Path) -> None:
        host = os.uname().nodename
        locked = try_lock(descriptor)
        holder = _holder(os.pread(descriptor, 4096, 0))
        # A lock that we got although another host's name is in it: that host died, or the file
        # system keeps locks to one host (Lustre localflock, NFS nolock). We cannot tell which.
        elsewhere = holder is not None and holder["host"] != host
        # Without any locks, a holder of this host counts for as long as its process is there.
        alive = locked is None and holder is not None and Path(f"/proc/{holder['pid']}").exists()
        if locked is False or elsewhere or alive:
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise SweepBusy(
                f"{who} is submitting or cancelling in this sweep",
                where=str(self.path),
                next_step=f"Wait for it to end; if it is surely dead, remove {path}.",
            )
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"host": host, "pid": os.getpid()}).encode(), 0)
        except OSError as error:
            raise unwritable(path, error) from error


def _holder(data: bytes) -> dict[str, Any] | None:
    try:
        holder: dict[str, Any] = json.loads(data)
        return holder if {"host", "pid"} <= holder.keys() else None
    except (ValueError, AttributeError):
        return None


def _make(path: Path, share: str) -> None:
    """Make the directory of a new sweep; with `share: group`, what is above it, too."""
    made = [one for one in (path, *path.parents) if not one.exists()]
    make_directory(path)
    if share != "group":
        return
    for one in (path, path.resolve()):  # as it is written, and as it is opened
        open_to_group(one)
    try:
        for one in {path, *made}:
            one.chmod(GROUP_DIRECTORY)
    except OSError as error:
        raise unwritable(path, error) from error
