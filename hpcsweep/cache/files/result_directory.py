"""The results directory: result files, each described by an entry.

    results/<id><suffix>                    the results, in the user's own format
            .journal/<2 digits>/<id>.json   one entry each: the truth; the table is its index
            .claims/<id>/<token>/           a result in production, and its unfinished files
            .new/<id>.<token>               a mark: the row may differ from the entry

Every write is an atomic rename: a kill leaves the old or the new file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.claims import Claim, check_own
from hpcsweep.errors import InputError, ResultMissing
from hpcsweep.files import (
    DOCUMENT_MAX,
    json_bytes,
    make_directory,
    names,
    parse_json,
    read_regular,
    remove_tree,
    replace,
    unreadable,
    unwritable,
    write_plain,
)
from hpcsweep.liveness import SILENT_S
from hpcsweep.older_python import dataclass

LOG = logging.getLogger("hpcsweep")

VERSION = 1
MARKS = ".new"
ID = re.compile(r"[0-9a-f]{16}")
# Suffixes that numpy.save and numpy.savez append to a given name.
_ADDED = (".npy", ".npz")


@dataclass(frozen=True, slots=True)
class ResultKey:
    """Checked params and the id of their result."""

    # The case id of the params.
    id: str
    # Plain, as the runner gets them.
    params: dict[str, Any]

    @classmethod
    def of(cls, plain: dict[str, Any]) -> ResultKey:
        """The key of plain params. A param that is None equals a missing one."""
        given = {name: value for name, value in plain.items() if value is not None}
        return cls(ids.case_id_of(ids.canonical_of_plain(given)), plain)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The description of one result."""

    id: str
    # Plain, as the runner got them.
    params: dict[str, Any]
    # Relative to the results directory; absolute for a registered one outside.
    result_file: str
    # Timezone-aware.
    created_at: datetime
    # Plain.
    custom_data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The content of its file."""
        return {
            "v": VERSION,
            "id": self.id,
            "params": self.params,
            "result_file": self.result_file,
            "created_at": self.created_at.isoformat(),
            "custom_data": self.custom_data,
        }

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Entry:
        """*Raises* KeyError, TypeError, ValueError for anything but an entry of this version."""
        if value["v"] != VERSION:
            raise ValueError(f"version {value['v']}")
        return cls(
            id=checked_id(value["id"]),
            params=dict(value["params"]),
            result_file=str(value["result_file"]),
            created_at=datetime.fromisoformat(value["created_at"]),
            custom_data=dict(value["custom_data"]),
        )


def checked_id(text: str) -> str:
    """The id, if it is a valid record id. *Raises* InputError."""
    if isinstance(text, str) and ID.fullmatch(text):
        return text
    raise InputError(
        f"{text!r:.80} is not the id of a record",
        next_step="Give the 16 hex digits of a record's `id`, or the params.",
    )


class ResultDirectory:
    """The files of one cache. Can be pickled: it holds only paths."""

    def __init__(self, path: Path, suffix: str) -> None:
        """*Raises* InputError for a suffix that would leave the directory."""
        if not isinstance(suffix, str) or {"/", "\0"} & set(suffix) or len(suffix) > 100:
            raise InputError(
                f"file_suffix={suffix!r} would leave the results directory",
                next_step='Give the end of a file name, e.g. ".npy".',
            )
        self._text = os.path.abspath(path)
        self.path = Path(self._text)
        self.suffix = suffix

    def make(self) -> None:
        """Create the directory and its parts. *Safe to repeat.*"""
        for path in (self.claims, self._journal, self.marks):
            make_directory(path)

    @property
    def claims(self) -> Path:
        """The directory of claims."""
        return self.path / ".claims"

    @property
    def _journal(self) -> Path:
        return self.path / ".journal"

    @property
    def marks(self) -> Path:
        """The directory of dirty marks."""
        return self.path / MARKS

    def _entry_file(self, id_: str) -> Path:
        return self._journal / id_[:2] / f"{id_}.json"

    # --- results ------------------------------------------------------------------------------

    def resolve(self, result_file: str) -> str:
        """The path of a result. *Raises* InputError if `..` leads outside the directory."""
        if result_file.startswith("/"):
            return result_file
        if ".." in result_file and ".." in result_file.split("/"):
            raise InputError(
                f"{result_file!r} would leave the results directory", where=str(self.path)
            )
        return f"{self._text}/{result_file}"

    def has(self, result_file: str) -> bool:
        """Whether a result exists and is not empty."""
        try:
            return os.stat(self.resolve(result_file)).st_size > 0
        except OSError:
            return False

    def relative_name(self, path: Path) -> str:
        """The name of a result in an entry: relative if it is in the directory."""
        absolute = Path(os.path.abspath(path))
        inside = absolute.is_relative_to(self.path)
        return str(absolute.relative_to(self.path) if inside else absolute)

    def publish(self, claim: Claim, requested: Path) -> str:
        """Publish what a runner wrote by an atomic rename. Returns the result's name.

        *Raises* ResultMissing if it wrote nothing or an empty file; ClaimLost.
        """
        choices = [requested, *(requested.with_name(requested.name + added) for added in _ADDED)]
        made = next((path for path in choices if path.is_file()), None)
        if made is None or made.stat().st_size == 0:
            check_own(claim.path)
            what = "wrote no file" if made is None else "left an empty file"
            raise ResultMissing(
                f'the runner {what} at params["result_file"]',
                where=str(requested),
                next_step="Let it write its result there; nothing was recorded.",
            )
        # Fsync first: a published result must be complete, also after a power failure.
        claim.publish(made, self.path / made.name, sync=True)
        return made.name

    def remove_result(self, result_file: str) -> bool:
        """Remove a result in the directory. Returns False for one outside, which stays."""
        path = Path(self.resolve(result_file))
        if not path.parent.resolve().is_relative_to(self.path.resolve()):
            return False
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        LOG.info("removed %s", path)
        return True

    # --- entries ------------------------------------------------------------------------------

    def entry(self, id_: str) -> Entry | None:
        """The entry of an id; None if it is missing or invalid."""
        path = self._entry_file(id_)
        # List the directory instead of probing: an NFS client may cache the absence of a new file.
        if path.name not in names(path.parent):
            return None
        return _read(path)

    def probe_entry(self, id_: str) -> Entry | None:
        """Like `entry`, without listing the directory: a mark has announced the file."""
        return _read(self._entry_file(id_))

    def write(self, entry: Entry, claim: Claim | None = None) -> None:
        """Write or replace an entry; durable without a claim. *Raises* ClaimLost.

        With a claim its result was just produced: if a power failure loses the entry, run again.
        """
        path, data = self._entry_file(entry.id), json_bytes(entry.to_json())
        make_directory(path.parent)
        if claim is None:
            replace(path, data)
            return
        made = claim.path / path.name
        try:
            write_plain(made, data)
        except OSError as error:
            check_own(claim.path)
            raise unwritable(made, error) from error
        claim.publish(made, path)

    def remove(self, id_: str) -> bool:
        """Remove an entry; returns False if there is none."""
        try:
            self._entry_file(id_).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unwritable(self._entry_file(id_), error) from error
        return True

    def entries(self) -> Iterator[Entry]:
        """All entries."""
        for folder in names(self._journal):
            for name in names(self._journal / folder):
                entry = None if name.startswith(".") else _read(self._journal / folder / name)
                if entry is not None:
                    yield entry

    def clean(self) -> None:
        """Remove what killed processes left of claims under construction or release."""
        for name in names(self.claims):
            path = self.claims / name
            with contextlib.suppress(OSError):  # its owner is alive and has moved it
                if name.startswith(".") and time.time() - path.stat().st_mtime > SILENT_S:
                    remove_tree(path)


def _read(path: Path) -> Entry | None:
    try:
        return Entry.of_json(parse_json(read_regular(path, DOCUMENT_MAX)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except (KeyError, TypeError, ValueError) as error:
        LOG.warning("skipped the entry %s: %r", path, error)
        return None
