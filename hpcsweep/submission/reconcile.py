"""Resolve parts whose sbatch never answered; none is sent twice (DESIGN invariant 8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError
from hpcsweep.files import json_bytes, names, write_new
from hpcsweep.journal import CHUNKS_PER_DIRECTORY, read
from hpcsweep.recordcheck import Record
from hpcsweep.records import Part
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import FactKind, IntentFact, JobFact, SweepDirectory, VoidFact

_log = logging.getLogger(__name__)


def resolve_unanswered(
    sweep: SweepDirectory, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> None:
    """Resolve every part with an intent and no job id.

    Either its job id is found by its name, or it is void: only if the controller answers, queue and
    accounting lack the name, no task of it wrote a journal, and the time is over in which an sbatch
    may still succeed. Waits for that time. A part on another cluster stays unresolved.
    *Raises* ClusterUnavailable if the cluster does not answer, ClusterError where only the user can
    find out. *Writes* a `job` or a `void` file.
    """
    for number in sweep.submissions():
        plan, document = sweep.plan(number)
        facts = sweep.part_facts(number)
        for part in plan.parts:
            part_facts = facts.get(part.number, {})
            if "intent" in part_facts and not {"job", "void"} & part_facts.keys():
                if not registry.is_same(cluster, document["cluster"]):
                    notify(
                        f"It is not known whether the cluster {document['cluster']['name']} took "
                        f"part {part.number} of submission {number}: submit there to find out."
                    )
                    continue
                intent = part_facts["intent"]
                kind, fact = _resolve(sweep, number, part, intent, cluster, settings, notify)
                write_new(sweep.part_file(number, part.number, kind), json_bytes(fact))
                _log.info("%s, which was never answered: %s", intent["job_name"], fact)


def _resolve(
    sweep: SweepDirectory,
    number: int,
    part: Part,
    intent: IntentFact,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None],
) -> tuple[FactKind, JobFact | VoidFact]:
    """The kind and content of the file that resolves an intent."""
    has_notified = False
    while True:
        job_id = cluster.find_by_name(intent["job_name"], intent["time"])
        job_id = job_id or _job_id_in_journal(sweep, number, part, intent)
        if job_id is not None:
            return "job", {"job_id": job_id, "time": time.time(), "how": "found by its name"}
        left = intent["time"] + settings.unanswered_s - time.time()
        if left <= 0:
            return "void", {"why": "never reached the cluster", "time": time.time()}
        if not has_notified:
            notify(
                f"An earlier submit was cut off at part {part.number} of submission {number}; "
                f"waiting {left:.0f} s until it is certain that this part did not arrive."
            )
            has_notified = True
        pause = min(left, settings.query_interval_s)
        _log.debug("%s is not known yet; asking again in %.0f s", intent["job_name"], pause)
        time.sleep(pause)


def _job_id_in_journal(
    sweep: SweepDirectory, number: int, part: Part, intent: IntentFact
) -> str | None:
    """The array's job id in the journal of one of its tasks; None if no task left a journal.

    *Raises* ClusterError if a task left a journal, but none has the id: a task that is killed at
    its start leaves an empty one, and still proves that the cluster accepted the array.
    """
    root = sweep.journal_dir(number)
    without_id: Path | None = None
    first, last = part.first_chunk, part.first_chunk + part.chunks - 1
    for shard in range(first // CHUNKS_PER_DIRECTORY, last // CHUNKS_PER_DIRECTORY + 1):
        for name in names(root / str(shard)):
            chunk = name.partition(".")[0]  # "" for other files, such as an editor's copy
            if chunk.isdigit() and first <= int(chunk) <= last:
                without_id = root / str(shard) / name
                for record in _records(without_id):
                    if record["kind"] == "task":
                        # The field is optional; the job id of any element names the array, too.
                        return str(record.get("array_job_id") or record["job_id"])
    if without_id is None:
        return None
    raise ClusterError(
        f"a task of part {part.number} of submission {number} has started, but its journal does "
        "not have the job id of the array",
        where=str(without_id),
        next_step=f"Look for the job {intent['job_name']} in the queue and in accounting, and "
        f"cancel it if it is there. Then remove {sweep.part_file(number, part.number, 'intent')} "
        "and run the same command again.",
    )


def _records(path: Path) -> Iterator[Record]:
    for reading in read(path):
        yield from reading.records
