"""Marks: for which ids the table may not be as the entry says, noted before anything is changed.

A change of a record takes steps: its entry, its row, its file. A mark stands from before the first
to after the last, so whoever finds one that a kill left brings the table to what the entry says.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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

LOG = logging.getLogger(__name__)
_RESULT = Field("a result", lambda value: TEXT.holds(value) and ".." not in value.split("/"))
_MARK = schema({}, {"owner": OBJECT, "result": _RESULT})


@dataclass(frozen=True, kw_only=True, slots=True)
class DirtyMark:
    """One mark, as it was found."""

    name: str
    id: str
    # What goes unless the entry names it, see `DirtyMarks.add`.
    result: str
    # Whether the process lives that will remove it.
    kept: bool
    # That of the id; None where there is none.
    entry: Entry | None


class DirtyMarks:
    """The marks of a results."""

    def __init__(self, results: ResultDirectory) -> None:
        self._results = results

    def add(self, id_: str, own: str = "", *, result: str = "", mine: bool = False) -> str:
        """Mark an id, before its entry is changed. Returns the mark's name.

        `result` is a file that goes unless the entry names it when the mark is settled. `mine`:
        this process removes the mark itself; else whoever has taken it in does.
        """
        name = f"{id_}.{own or token()}"
        said = {"owner": this_process() if mine else {}, "result": result}
        path = self._results.new / name
        try:
            write_plain(path, json.dumps(said).encode() if mine or result else b"")
        except OSError as error:
            raise unwritable(path, error) from error
        return name

    def remove(self, marks: Iterable[str]) -> None:
        """Remove marks, after the table is as the entries say. *Safe to repeat.*"""
        for name in marks:
            with contextlib.suppress(OSError):
                os.unlink(self._results.new / name)

    def found(self) -> Iterator[DirtyMark]:
        """All marks, each with the entry of its id."""
        for name in names(self._results.new):
            id_ = name.partition(".")[0]
            if not ID.fullmatch(id_):
                continue
            try:
                said = self._read(name)
            except FileNotFoundError:  # its owner is done
                continue
            except OSError as error:
                LOG.warning("passed over %s, which is no mark: %s", self._results.new / name, error)
                continue
            owner = said.get("owner") or {}
            path = self._results.new / name
            yield DirtyMark(
                name=name,
                id=id_,
                result=said.get("result") or "",
                kept=bool(owner) and is_alive(owner, path) is not False,
                entry=self._results.probe_entry(id_),
            )

    def _read(self, name: str) -> dict[str, Any]:
        data = read_regular(self._results.new / name, DOCUMENT_MAX)
        try:
            said = parse_json(data or b"{}")
        except ValueError:  # its owner was killed before it changed anything
            return {}
        return {} if mismatch(said, _MARK) else dict(said)

    def settle(self, marks: Iterable[DirtyMark]) -> None:
        """Remove marks that the table has taken in, and the results that go with them.

        But for those of living owners, and of what is being made.
        """
        for mark in marks:
            if mark.kept:
                continue
            if not mark.result and not names(self._results.claims / mark.id):  # as a rule
                self.remove([mark.name])
                continue
            # Under the claim nobody makes this result; that of a dead process goes with it.
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
    """The end of the name of the mark under which an entry was made: known to who has the entry."""
    return f"{entry.created_at:%Y%m%d%H%M%S%f}"
