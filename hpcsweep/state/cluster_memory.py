"""The answers of the cluster about a sweep's array tasks, kept between calls in `cluster.json`.

The file is derived, replaced as a whole, and may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast, get_args

from hpcsweep.cluster.jobs import Element
from hpcsweep.errors import InputError, SweepError
from hpcsweep.field_checks import (
    NUMBER,
    NUMBERS,
    PAIRS,
    TEXT,
    TEXTS,
    Field,
    by_name,
    mismatch,
    one_of,
    schema,
)
from hpcsweep.files import (
    DOCUMENT_MAX,
    json_bytes,
    make_directory,
    open_file,
    parse_json,
    read_regular,
    replace,
    try_lock,
    unwritable,
)
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason
from hpcsweep.settings import state_home
from hpcsweep.state.array_tasks import NONE, ChunksBy, SentPart
from hpcsweep.sweepdir.directory import SweepDirectory

FILE = "cluster.json"


class ClusterMemory(TypedDict, total=False):
    """The document in `cluster.json`; times are seconds of the epoch.

    Elements are named by `element_key`, reasons are values of `records.Reason`.
    """

    # Times of the last poll, and of the last answer.
    tried: float
    asked: float
    # The last program, "squeue" or "sacct"; empty polls the queue next.
    last: str
    # Why the last poll failed.
    problem: str | None
    # ClusterName by host and address of the cluster.
    names: dict[str, str]
    # The job ids of the arrays in the last successful poll of the queue, and in the last poll that
    # failed. The absence of arrays submitted later means nothing.
    polled: list[str]
    missed: list[str]
    # By state in the queue, and by the reason to wait: array task ids as `0-9,12`, by the job id
    # of the array.
    in_queue: dict[str, dict[str, str]]
    waits: dict[str, dict[str, str]]
    # When the queue expects the next of them to start; missing if it expects none.
    next_start: float
    # By element: time since which the queue lacks it; times of the first and the last answer
    # without it.
    absent: dict[str, float]
    scans: dict[str, list[float]]
    # The accounting's final reason; the queue's reason for its end; time of its first terminal
    # word.
    over: dict[str, str]
    hints: dict[str, str]
    words: dict[str, float]
    # Times, and the counts of cases that had ended by then: see `state/pace`.
    progress: list[list[float]]
    # Of the closing jobs that were asked about last: the time, their ids, and state and reason of
    # those that the queue knew; absent if it did not answer.
    closing_tried: float
    closing_ids: list[str]
    closing: dict[str, list[str]]


_ByElement = Literal["absent", "scans", "over", "hints", "words"]
_BY_ELEMENT: tuple[_ByElement, ...] = get_args(_ByElement)
_InQueue = Literal["in_queue", "waits"]
_IN_QUEUE: tuple[_InQueue, ...] = get_args(_InQueue)
# What programs before 2026-11-30 have in place of these two and `polled`.
_OLDER = ("alive", "waiting", "heard")
_REASON = one_of(Reason)


def _are_ids(values: Sequence[Any]) -> bool:
    try:
        return all(isinstance(value, str) and bool(IndexSet.parse(value)) for value in values)
    except InputError:
        return False


_IDS = Field("a set of array task ids", _are_ids)
_MEMORY = schema(
    {},
    {
        "tried": NUMBER,
        "asked": NUMBER,
        "next_start": NUMBER,
        "last": TEXT,
        "problem": TEXT,
        "names": by_name(TEXT),
        "in_queue": by_name(by_name(_IDS)),
        "waits": by_name(by_name(_IDS)),
        "absent": by_name(NUMBER),
        "scans": by_name(NUMBERS),
        "over": by_name(_REASON),
        "hints": by_name(_REASON),
        "words": by_name(NUMBER),
        "polled": TEXTS,
        "missed": TEXTS,
        "progress": PAIRS,
        "closing_tried": NUMBER,
        "closing_ids": TEXTS,
        "closing": by_name(TEXTS),
    },
)


@contextlib.contextmanager
def open_memory(sweep: SweepDirectory) -> Iterator[ClusterMemory | None]:
    """Read the memory, and write it back if it changed; None while another process polls.

    A user who may not write here has a copy of their own, which starts from the owner's.
    """
    place = sweep.path
    if not sweep.is_writable:
        place = state_home() / "asked" / sweep.key
        try:
            make_directory(place)
        except SweepError:  # some accounts have no home: nothing is kept
            yield read_memory(sweep.path / FILE)
            return
    path, lock = place / FILE, place / ".cluster.lock"
    try:
        descriptor = open_file(lock, os.O_RDWR)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        if try_lock(descriptor) is False:
            yield None
            return
        memories = map(read_memory, (path, sweep.path / FILE))
        memory = max(memories, key=lambda memory: memory.get("tried", 0))
        before = json.dumps(memory, sort_keys=True)
        yield memory
        if json.dumps(memory, sort_keys=True) != before:
            replace(path, json_bytes(memory))
    finally:
        os.close(descriptor)


def read_memory(path: Path) -> ClusterMemory:
    """The memory in a file; empty if the file is missing or damaged.

    After an older program has written it, what the queue said is unknown until its next answer,
    since that program does not change what it has under other names.
    """
    try:
        document: dict[str, Any] = parse_json(read_regular(path, DOCUMENT_MAX))
    except (OSError, ValueError):
        return {}
    if mismatch(document, _MEMORY):
        return {}
    if any(name in document for name in _OLDER):
        for name in (*_OLDER, *_IN_QUEUE, "polled"):
            document.pop(name, None)
    return cast("ClusterMemory", document)


def element_key(element: Element) -> str:
    """The key of an element in the document."""
    return f"{element[0]}_{element[1]}"


def by_text(elements: Iterable[tuple[Element, str]]) -> dict[str, dict[str, str]]:
    """Elements in the form of `in_queue` and `waits`, by a text about each."""
    ids: dict[str, dict[str, list[int]]] = {}
    for (job_id, task), text in elements:
        ids.setdefault(text, {}).setdefault(job_id, []).append(task)
    return {
        text: {job_id: str(IndexSet.of(sorted(tasks))) for job_id, tasks in of.items()}
        for text, of in ids.items()
    }


def chunks_in_queue(memory: ClusterMemory, kind: _InQueue, parts: Iterable[SentPart]) -> ChunksBy:
    """The open chunks of what the memory has by state or by reason."""
    found: ChunksBy = {}
    for text, jobs in (memory.get(kind) or {}).items():
        for sent in parts:
            if sent.job_id in jobs:
                sets, number = found.setdefault(text, {}), sent.plan.submission
                chunks = sent.chunks_of(IndexSet.parse(jobs[sent.job_id]))
                sets[number] = sets.get(number, NONE) | chunks
    return found


def forget_closed(memory: ClusterMemory, parts: list[SentPart]) -> None:
    """Remove what is known of closed tasks, so that the file stays small."""
    still = {sent.job_id: sent.open_elements for sent in parts if sent.job_id}
    for kind in _BY_ELEMENT:
        entries: dict[str, Any] = memory.get(kind, {})
        memory[kind] = {key: value for key, value in entries.items() if _is_in(key, still)}
    for about in _IN_QUEUE:
        memory[about] = {
            text: rest
            for text, jobs in (memory.get(about) or {}).items()
            if (rest := {job: str(ids) for job, ids in _open_ids(jobs, still) if ids})
        }


def _is_in(key: str, still: Mapping[str, IndexSet]) -> bool:
    """Whether the key of an element is that of an open task."""
    job_id, _, task = key.rpartition("_")
    return task.isdecimal() and int(task) in still.get(job_id, NONE)


def _open_ids(
    jobs: Mapping[str, str], still: Mapping[str, IndexSet]
) -> Iterator[tuple[str, IndexSet]]:
    for job_id, ids in jobs.items():
        yield job_id, IndexSet.parse(ids) & still.get(job_id, NONE)
