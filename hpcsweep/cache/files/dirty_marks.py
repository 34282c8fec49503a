"""Dirty marks: ids whose table row may differ from the entry.

A change of a record has several steps: entry, row, file. Its mark exists from before the first to
after the last step. Whoever finds the mark of a killed process updates the row from the entry.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files.result_directory import ID, Entry, ResultDirectory
from hpcsweep.field_checks import OBJECT, TEXT, Field, mismatch, schema
from hpcsweep.files import (
    DOCUMENT_MAX,
    names,
    parse_json,
    read_regular,
    token,
    unwritable,
    write_plain,
)
from hpcsweep.liveness import is_alive, this_process
from hpcsweep.older_python import dataclass

LOG = logging.getLogger(__name__)
_RESULT = Field(
    "a result",
    lambda values: TEXT.all_hold(values) and ".." not in "/".join(values).split("/"),
)
_MARK = schema({}, {"owner": OBJECT, "result": _RESULT})


@dataclass(frozen=True, kw_only=True, slots=True)
class DirtyMark:
    """One mark, as read."""

    name: str
    id: str
    # A file to remove unless the entry names it; see `DirtyMarks.add`.
    result: str
    # Whether the process that will remove the mark is alive.
    kept: bool
    # The entry of the id; None without one.
    entry: Entry | None


class DirtyMarks:
    """The marks of a results directory."""

    def __init__(self, results: ResultDirectory) -> None:
        self._results = results

    def add(self, id_: str, own: str = "", *, result: str = "", has_owner: bool = False) -> str:
        """Mark an id before its entry changes. Returns the mark's name.

        `result` is a file to remove when the mark is settled, unless the entry names it. `mine`:
        this process removes the mark itself; otherwise the one that updates the table does.
        """
        name = f"{id_}.{own or token()}"
        content = {"owner": this_process() if has_owner else {}, "result": result}
        path = self._results.marks / name
        try:
            write_plain(path, json.dumps(content).encode() if has_owner or result else b"")
        except OSError as error:
            raise unwritable(path, error) from error
        return name

    def remove(self, marks: Iterable[str]) -> None:
        """Remove marks, after the table matches the entries. *Safe to repeat.*"""
        for name in marks:
            with contextlib.suppress(OSError):
                os.unlink(self._results.marks / name)

    def read_all(self) -> Iterator[DirtyMark]:
        """All marks, each with the entry of its id."""
        for name in names(self._results.marks):
            id_ = name.partition(".")[0]
            if not ID.fullmatch(id_):
                continue
            try:
                content = self._read(name)
            except FileNotFoundError:  # its owner has finished
                continue
            except OSError as error:
                LOG.warning("skipped the mark %s: %s", self._results.marks / name, error)
                continue
            owner = content.get("owner") or {}
            path = self._results.marks / name
            yield DirtyMark(
                name=name,
                id=id_,
                result=content.get("result") or "",
                kept=bool(owner) and is_alive(owner, path) is not False,
                entry=self._results.probe_entry(id_),
            )

    def _read(self, name: str) -> dict[str, Any]:
        data = read_regular(self._results.marks / name, DOCUMENT_MAX)
        try:
            content = parse_json(data or b"{}")
        except ValueError:  # its owner was killed before it changed anything
            return {}
        return {} if mismatch(content, _MARK) else dict(content)

    def settle(self, marks: Iterable[DirtyMark]) -> None:
        """Remove marks that the table reflects now, and the results to remove with them.

        Skips marks of living owners, and of results that are being made.
        """
        for mark in marks:
            if mark.kept:
                continue
            if not mark.result and not names(self._results.claims / mark.id):  # the usual case
                self.remove([mark.name])
                continue
            # The claim ensures that no process is making this result; it evicts a dead owner.
            claim = claims.try_acquire(self._results.claims, mark.id)
            if claim is None:
                continue
            try:
                entry = self._results.entry(mark.id)
                if mark.result and (entry is None or entry.result_file != mark.result):
                    self._results.remove_result(mark.result)
                self.remove([mark.name])
            finally:
                claim.release()


def producer_mark(entry: Entry) -> str:
    """The suffix of the mark under which an entry was made; computable from the entry."""
    return f"{entry.created_at:%Y%m%d%H%M%S%f}"
