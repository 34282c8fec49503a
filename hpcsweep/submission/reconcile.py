"""Parts whose sbatch was never answered: found out, never sent twice (DESIGN invariant 8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.files import json_bytes, names, write_new
from hpcsweep.journal import CHUNKS_PER_DIRECTORY, read
from hpcsweep.recordcheck import Record
from hpcsweep.records import Part
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import FactKind, IntentFact, JobFact, SweepDirectory, VoidFact

_log = logging.getLogger(__name__)


def resolve_unanswered(
    sweep: SweepDirectory, cluster: Cluster, settings: Settings, say: Callable[[str], None]
) -> None:
    """Find out what became of every part with an intent and no job id.

    It is found under its name and its job id is noted, or it is declared void: only when the
    controller answers, queue and accounting lack it, no task of it left a journal, and the time
    is over in which an sbatch may still succeed. Waits for that time. One that went to another
    cluster stays as it is.
    *Raises* ClusterUnavailable when it cannot ask, ClusterError with what to do where only the user
    can find out. *Writes* a `job` or a `void` file.
    """
    for number in sweep.submissions():
        plan, document = sweep.plan(number)
        facts = sweep.part_facts(number)
        for part in plan.parts:
            known = facts.get(part.number, {})
            if "intent" in known and not {"job", "void"} & known.keys():
                if not registry.is_same(cluster, document["cluster"]):
                    say(
                        f"It is not known whether the cluster {document['cluster']['name']} took "
                        f"part {part.number} of submission {number}: submit there to find out."
                    )
                    continue
                intent = known["intent"]
                kind, fact = _found_out(sweep, number, part, intent, cluster, settings, say)
                write_new(sweep.part_file(number, part.number, kind), json_bytes(fact))
                _log.info("%s, which was never answered: %s", intent["job_name"], fact)


def _found_out(
    sweep: SweepDirectory, number: int, part: Part, intent: IntentFact, cluster: Cluster,
    settings: Settings, say: Callable[[str], None],
) -> tuple[FactKind, JobFact | VoidFact]:  # fmt: skip
    """The name and content of the file that answers an intent."""
    told = False
    while True:
        job_id = cluster.find_by_name(intent["job_name"], intent["time"])
        job_id = job_id or _job_id_in_journal(sweep, number, part)
        if job_id is not None:
            return "job", {"job_id": job_id, "time": time.time(), "how": "found by its name"}
        left = intent["time"] + settings.unanswered_s - time.time()
        if left <= 0:
            return "void", {"why": "never reached the cluster", "time": time.time()}
        if not told:
            say(
                f"An earlier submit was cut off while handing in part {part.number} of submission "
                f"{number}; waiting {left:.0f} s until it is certain that it did not arrive."
            )
            told = True
        pause = min(left, settings.query_interval_s)
        _log.debug("%s is not known yet; asking again in %.0f s", intent["job_name"], pause)
        time.sleep(pause)


def _job_id_in_journal(sweep: SweepDirectory, number: int, part: Part) -> str | None:
    """The array's job id as one of its tasks knew it."""
    root = sweep.journal_dir(number)
    first, last = part.first_chunk, part.first_chunk + part.chunks - 1
    for shard in range(first // CHUNKS_PER_DIRECTORY, last // CHUNKS_PER_DIRECTORY + 1):
        for name in names(root / str(shard)):
            chunk = name.partition(".")[0]  # "" for what is no journal, as an editor's copy
            if chunk.isdigit() and first <= int(chunk) <= last:
                for record in _records(root / str(shard) / name):
                    if record["kind"] == "task":
                        # No reader demands the array's id; without it the element's own is known.
                        return str(record.get("array_job_id") or record["job_id"])
    return None


def _records(path: Path) -> Iterator[Record]:
    for reading in read(path):
        yield from reading.records
