"""Read the records of a journal in columns, as an ingest takes them.

Most lines of a task's journal begin with the same fields, up to the index: format, manifest,
attempt and chunk. These are parsed and checked once per block, and what differs in columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from hpcsweep import recordcheck
from hpcsweep.journal import blocks, intact_lines, parse_block, parse_line, parse_together
from hpcsweep.recordcheck import AlikeRecords, Record
from hpcsweep.store import exact_json


class JournalColumns(NamedTuple):
    """New records of one journal."""

    # Together all records, in any order.
    groups: list[AlikeRecords]
    # The last one in the file; None without one.
    last: Record | None
    # As in `journal.JournalChunk`.
    offset: int
    torn: int = 0
    superseded: int = 0


def read_columns(path: Path, offset: int = 0) -> Iterator[JournalColumns]:
    """Read what `journal.read` does with `skim`, in a fraction of the time."""
    for lines, end in blocks(path, offset):
        yield _of_block(lines, end)


def _of_block(lines: list[bytes], offset: int) -> JournalColumns:
    last = _last_record(lines)
    intact = intact_lines(lines, skim=True)
    groups = None if intact is None else _in_groups(*intact)
    if intact is not None and groups is not None:
        superseded = len(lines) - len(intact[0])
        return JournalColumns(groups, last, offset, superseded=superseded)
    chunk = parse_block(lines, offset, skim=True)
    groups = list(map(recordcheck.alone, chunk.records))
    return JournalColumns(groups, last, offset, chunk.torn, chunk.superseded)


def _last_record(lines: list[bytes]) -> Record | None:
    parsed = map(parse_line, reversed(lines))
    return next((record for record in parsed if not isinstance(record, str)), None)


def _in_groups(payloads: list[bytes], checksums: list[str]) -> list[AlikeRecords] | None:
    """The records in many payloads; None if one has none."""
    start, common = _common_start(payloads)
    # A comma that no field follows is no JSON.
    usual_start = start + b'"'
    are_usual = [bool(common) and payload.startswith(usual_start) for payload in payloads]
    tails = [b"{" + payload[len(start) :] for payload in compress(payloads, are_usual)]
    usual = _grouped(tails, list(compress(checksums, are_usual)), common)
    if usual is None or len(tails) == len(payloads):
        return usual
    are_others = [not is_usual for is_usual in are_usual]
    others = _grouped(
        list(compress(payloads, are_others)), list(compress(checksums, are_others)), {}
    )
    return None if others is None else [*usual, *others]


def _common_start(payloads: list[bytes]) -> tuple[bytes, dict[str, Any]]:
    """The fields before the index in a record of a case: their text and values; empty for none."""
    usual = payloads[len(payloads) // 2] if payloads else b""
    start = usual[: max(usual.find(b'"index":'), 0)]
    if start.endswith(b","):
        with suppress(ValueError, RecursionError):  # it is no text of whole fields
            common = json.loads(start[:-1].decode() + "}")
            if "kind" in common:
                return start, common
    return b"", {}


def _grouped(
    texts: list[bytes], checksums: list[str], common: dict[str, Any]
) -> list[AlikeRecords] | None:
    """The records in JSON objects, each with the fields in common too; None if one has none."""
    if not texts:
        return []
    documents = parse_together(texts, exact_json.loads)
    return None if documents is None else recordcheck.alike(documents, checksums, common)
