"""Make the plan of a batch: its number, its parts, and the layout of its run directories."""

from __future__ import annotations

from dataclasses import replace

from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX
from hpcsweep.records import ARRAY, SINGLE_JOB, Part
from hpcsweep.state.outlook import NONE, Outlook
from hpcsweep.submission import policy
from hpcsweep.submission.policy import Batch
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.parts import make_node_parts, make_parts
from hpcsweep.sweepdir.plan import Layout, Plan


def make_plan(
    request: SubmitRequest, sweep: SweepDirectory | None, batch: Batch, limits: Limits
) -> Plan:
    """The plan of a batch. Reads the sweep's earlier plans, and is pure otherwise."""
    numbers = sweep.submissions() if sweep else []
    previous = sweep.plan(numbers[-1])[0].layout if sweep and numbers else None
    chunks = -(-batch.indices.count // batch.chunk_size)
    # Generations stay below numbers, and are known where the files of submissions were removed and
    # the index was not: it would take a number that is given again for the removed submission.
    number = max(sweep.last_number() if sweep else 0, batch.generation) + 1
    if number > RANKED_MAX:
        raise SweepError(
            f"has {RANKED_MAX} submissions, and can have no more",
            where=str(request.path),
            next_step="Give the manifest another name.",
        )
    return Plan(
        submission=number,
        manifest=request.manifest.fingerprint,
        indices=batch.indices,
        chunk_size=batch.chunk_size,
        parts=_parts_of(request, batch, chunks, limits),
        layout=Layout.choose(request.manifest.runs, request.source.n_cases, previous),
        generation=batch.generation,
        options=None if batch.resources == request.manifest.resources else batch.resources.options,
        goal=batch.indices | batch.rest if batch.rest else None,
        closes=batch.closes,
        canary=batch.is_canary,
        longest_first=batch.longest_first,
        case_seconds=None if batch.estimate is None else batch.estimate.mean_s,
        seconds_from="" if batch.estimate is None else batch.estimate.source,
    )


def _parts_of(
    request: SubmitRequest, batch: Batch, chunks: int, limits: Limits
) -> tuple[Part, ...]:
    manifest = request.manifest
    if manifest.mode == ARRAY:
        return make_parts(chunks, max_array_size=limits.max_array_size, throttle=request.throttle)
    nodes = manifest.nodes if manifest.mode == SINGLE_JOB else 1
    return make_node_parts(chunks, jobs=batch.tasks, nodes=nodes)


def plan_of_nothing(
    request: SubmitRequest,
    sweep: SweepDirectory,
    outlook: Outlook,
    limits: Limits,
    rest: IndexSet = NONE,
) -> Plan:
    """A submission without a part; `rest` are indices that `advance` sends."""
    nothing = policy.batch(outlook, request.policy, limits, NONE, request.manifest.resources)
    batch = replace(nothing, rest=rest, closes=bool(rest))
    return make_plan(request, sweep, batch, limits)
