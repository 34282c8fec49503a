"""What is known of the calls that futures wait for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from hpcsweep.errors import CallFailed, Damaged, RunMissing
from hpcsweep.executor import pickles
from hpcsweep.executor.task import ANSWER, ANSWER_DIGEST, CallAnswer
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies
from hpcsweep.records import error_text
from hpcsweep.runs.find import run_files
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweep import Sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for

_AGAIN = "Call the function again."
# States in which a call may still get an answer by itself.
UNDER_WAY = (State.RUNNING, State.QUEUED, State.HELD, State.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class CallStates:
    """The calls that are awaited, at one moment."""

    outlook: Outlook
    running: IndexSet
    # In array tasks that are not over.
    under_way: IndexSet
    cancelled: IndexSet
    # In no array task, and without an outcome.
    unsent: IndexSet
    # Whether the cluster is the user's own, and may be polled often.
    is_own: bool
    # By index, of calls with a final outcome; the error says why there is no answer.
    answers: dict[int, CallAnswer | CallFailed] = field(default_factory=dict)


def call_states(sweep: Sweep, awaited: Iterable[int]) -> CallStates:
    """Read new journal entries, poll the cluster if that is due, and load answers.

    *Raises* SweepError, StoreError. *Writes* the index, as `status` does.
    """
    directory, indices = sweep._directory, IndexSet.of(awaited)  # noqa: SLF001  # of our own
    pickles.refuse_shared(directory.path)
    with fresh_index(directory) as sweep_index:
        cluster, settings = sweep._recorded_cluster, sweep._settings  # noqa: SLF001  # of our own
        outlook = outlook_of(
            directory, sweep_index, poll(directory, sweep_index, cluster, settings)
        )

        def of(*states: State) -> IndexSet:
            return outlook.indices(*states) & indices

        repeats = Policies.from_json(outlook.version.manifest.policies).retry is not None
        final = of(State.COMPLETE, State.STALE) | (IndexSet() if repeats else of(State.FAILED))
        answers = {row["idx"]: _answer(directory, row) for row in sweep_index.rows(within=final)}
    return CallStates(
        outlook=outlook,
        running=of(State.RUNNING),
        under_way=of(*UNDER_WAY),
        cancelled=(outlook.withdrawn & indices) - of(*UNDER_WAY) - final,
        is_own=cluster is not None and cluster.is_own,
        unsent=of(State.UNSUBMITTED, State.INTERRUPTED),
        answers=answers,
    )


def last_answers(sweep: Sweep, indices: Iterable[int]) -> dict[int, CallAnswer | CallFailed]:
    """The answers of calls of which nothing more will happen. *Raises* like `call_states`."""
    directory, indices = sweep._directory, IndexSet.of(indices)  # noqa: SLF001  # of our own
    with fresh_index(directory) as sweep_index:
        answers = {row["idx"]: _answer(directory, row) for row in sweep_index.rows(within=indices)}
    unknown = CallFailed("it was never run", where=str(directory.path))
    return {index: answers.get(index, unknown) for index in indices}


def _answer(directory: SweepDirectory, row: IndexRow) -> CallAnswer | CallFailed:
    """The answer of a row. A failed case without one has an error instead."""
    digest = json.loads(row["metrics"] or "{}").get(ANSWER_DIGEST)
    where = f"{directory.path}, index {row['idx']}"
    if digest is None:
        message = error_text(json.loads(row["error"] or "{}"))
        why = ": ".join(filter(None, (row["status"], row["reason"], message)))
        argument = argument_for(directory.name, directory.shown_path)
        return CallFailed(
            f"the call has no answer: {why}",
            where=where,
            next_step=f"`hpcsweep logs {argument} {row['idx']}` shows what it printed.",
        )
    try:
        files = run_files(directory, row)
        data = None if files is None else files.read(f"artifacts/{ANSWER}")
        if data is None:
            return CallFailed("its answer is gone", where=where, next_step=_AGAIN)
        return cast("CallAnswer", pickles.load(pickles.checked(data, digest, where), "the answer"))
    except (RunMissing, Damaged) as error:
        return CallFailed(error.what, where=error.where, next_step=_AGAIN)
    except CallFailed as error:
        return error
