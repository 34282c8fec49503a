"""Cancel queued array tasks whose options differ from the manifest, and send them anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import Element
from hpcsweep.cluster.states import meaning
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, TaskInterpreter
from hpcsweep.quantities import counted
from hpcsweep.records import Reason, Status
from hpcsweep.state.array_tasks import NONE, ArrayTasks, Chunk, SentPart, array_tasks
from hpcsweep.state.verdicts import journal_verdicts
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory

# Seconds between two polls whether the cancelled elements have left the queue: the controller
# removes them one by one (22.05).
POLL_S = 0.2
# Seconds until this is given up.
SETTLE_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Replaceable:
    """Queued array tasks that another version of the manifest sent with other options."""

    # With their chunks.
    parts: tuple[tuple[SentPart, IndexSet], ...]
    # In words: "time 01:00:00 -> 00:10:00".
    changes: tuple[str, ...]

    @property
    def n_tasks(self) -> int:
        """Count of array tasks."""
        return sum(len(chunks) for _, chunks in self.parts)

    def __str__(self) -> str:
        numbers = sorted({str(sent.plan.submission) for sent, _ in self.parts}, key=int)
        return (
            f"{counted(self.n_tasks, 'queued array task')} of submission {', '.join(numbers)} "
            f"{'was' if self.n_tasks == 1 else 'were'} sent with other options "
            f"({'; '.join(self.changes)})"
        )


def replaceable(
    sweep: SweepDirectory, manifest: FrozenManifest, tasks: ArrayTasks
) -> Replaceable | None:
    """The queued tasks that this manifest would send with other options; None if there are none."""
    parts, changes = [], dict[str, None]()
    for sent, chunks in waiting_chunks(tasks):
        differs = list(_changes(sweep.version(sent.plan.manifest).manifest, manifest))
        if differs:
            parts.append((sent, chunks))
            changes |= dict.fromkeys(differs)
    return Replaceable(parts=tuple(parts), changes=tuple(changes)) if parts else None


def waiting_chunks(tasks: ArrayTasks) -> Iterator[tuple[SentPart, IndexSet]]:
    """The parts with tasks that may still be queued, and the chunks of those tasks."""
    for sent in tasks.parts:
        if sent.job_id is None or sent.cancelled is not None:
            continue
        number = sent.plan.submission
        busy = (
            sets.get(number, NONE) for state, sets in tasks.in_state.items() if not _waits(state)
        )
        chunks = sent.open_chunks - tasks.started.get(number, NONE) - IndexSet.union(busy)
        if chunks:
            yield sent, chunks


def _changes(old: FrozenManifest, new: FrozenManifest) -> Iterator[str]:
    """The differences between the options of two manifests, in words."""
    before, now = old.resources.options, new.resources.options
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name} {before.get(name, 'not given')} -> {now.get(name, 'not given')}"
    if [(line.kind, line.text) for line in old.setup] != [
        (line.kind, line.text) for line in new.setup
    ]:
        yield "other setup lines"
    if _interpreter(old) != _interpreter(new):
        yield "another interpreter or container"
    if (old.mode, old.nodes) != (new.mode, new.nodes):
        yield f"mode {old.mode} -> {new.mode}"
    if old.needs != new.needs:
        yield "other needs of a case"
    if old.chunk != new.chunk:
        yield f"chunk {old.chunk or 'auto'} -> {new.chunk or 'auto'}"


def _interpreter(manifest: FrozenManifest) -> TaskInterpreter | None:
    """The interpreter of the tasks, wherever the manifest names it."""
    return manifest.interpreter and replace(manifest.interpreter, where="")


def _waits(state: str | None) -> bool:
    """Whether a task may still be queued; also if its state is not known."""
    return state is None or meaning(state)[1] in (Status.PENDING, Status.UNKNOWN)


def cancel_waiting(
    replaceable: Replaceable, sweep: SweepDirectory, sweep_index: SweepIndex, cluster: Cluster
) -> int:
    """Cancel the tasks that have not begun by then, and journal it. Returns their count.

    If this is killed after the request, the scheduler reports the cancelled tasks, as after
    `cancel`, and the next submit that polls it sends their cases.
    *Raises* ClusterError. *Writes* a journal of this command.
    """
    own_parts = [
        (sent, chunks)
        for sent, chunks in replaceable.parts
        if registry.is_same(cluster, sent.cluster)
    ]
    job_ids = [sent.job_id for sent, _ in own_parts if sent.job_id]
    if not job_ids:
        return 0
    cluster.cancel_pending(job_ids)
    states = _settled(own_parts, cluster, job_ids)
    # A task that began before the request arrived has journalled that, before any user code.
    Ingest(sweep, sweep_index).run()
    tasks = array_tasks(sweep, sweep_index)
    gone: dict[Chunk, Reason] = {}
    for sent, chunks in own_parts:
        for chunk in chunks:
            key, state = (sent.plan.submission, chunk), states.get(sent.element(chunk))
            is_cancelled = state is None or meaning(state)[2] is Reason.CANCELLED
            if not tasks.has_started(*key) and is_cancelled:
                gone[key] = Reason.CANCELLED
    if gone:
        journal_verdicts(sweep, sweep_index, gone)
    return len(gone)


def _settled(
    parts: list[tuple[SentPart, IndexSet]], cluster: Cluster, job_ids: list[str]
) -> dict[Element, str]:
    """The states of the arrays' elements as soon as none of the chunks' tasks is queued."""
    end = time.monotonic() + SETTLE_S
    while True:
        states = {element: queued.state for element, queued in cluster.poll_queue(job_ids).items()}
        elements = [sent.element(chunk) for sent, chunks in parts for chunk in chunks]
        if not any(element in states and _waits(states[element]) for element in elements):
            return states
        if time.monotonic() > end:
            raise ClusterUnavailable(
                "queued array tasks were cancelled, and the queue still lists them",
                where=", ".join(job_ids),
                next_step="Run the same command again: it sends their cases when they are gone.",
            )
        time.sleep(POLL_S)
