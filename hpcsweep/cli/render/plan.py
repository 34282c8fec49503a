"""Print a plan: what `submit` would send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice

from hpcsweep import allocation
from hpcsweep.cli.render.console import print_facts
from hpcsweep.cluster.ceilings import CPUS, MEMORY
from hpcsweep.cluster.limits import Limits
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.quantities import counted, duration, time_limit_seconds
from hpcsweep.records import CaseNeeds, ParamCase
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

# Options that ask for the GPUs of each node.
_GPUS_OF_A_NODE = ("gpus-per-node", "gres")
# Of the most that tasks may take without a time limit.
_UNLIMITED = "unknown, as there is no slurm: time"
# Largest length of a case's params in a plan.
PARAMS_CHARACTERS = 200


def print_plan(plan: Plan, version: Version, held: int, complete: int, limits: Limits) -> None:
    """Print cases, tasks, arrays, core-hours and files."""
    manifest, source = version.manifest, version.source
    count = plan.indices.count
    complete_text = f" ({complete} complete)" if complete else ""
    files, inodes = _files(plan)
    rows = [
        ("cases", f"{count} of {source.n_cases}{complete_text}{_first(plan)}"),
        ("under way", f"{held}, left alone" if held else ""),
        ("first", _case(source[plan.indices.select(0)])),
        ("last", _case(source[plan.indices.select(count - 1)])),
        *(("columns", note) for note in source.column_notes()),
        *(("where", note) for note in source.filter_notes()),
        ("a case", case_seconds(plan)),
        ("chunks", f"{tasks_text(plan)}{_cases_per_task(plan, manifest)}{_auto(plan, manifest)}"),
        ("slots", _slots(plan, manifest, limits)),
        ("ask for", sized_options(plan, manifest)),
        ("arrays", _arrays(plan)),
        ("later", _later(plan, manifest)),
        ("core-hours", "" if _nodes(plan) else _core_hours(plan, manifest)),
        ("node-hours", _node_hours(plan, manifest) if _nodes(plan) else ""),
        ("files", f"about {files}, {counted(inodes, 'inode')} with directories"),
        ("runs", plan.layout.runs),
        ("reduce", _reduce(manifest)),
    ]
    print_facts([row for row in rows if row[1]])


def _reduce(manifest: FrozenManifest) -> str:
    reduce = Policies.from_json(manifest.policies).reduce
    if reduce is None:
        return ""
    when = "every case is complete" if reduce.when == "complete" else "nothing more is run"
    return f"{reduce.target.text}, when {when}"


def _first(plan: Plan) -> str:
    return ", which go first: the canary" if plan.canary else ""


def tasks_text(plan: Plan) -> str:
    """What runs the cases of a plan: `12 array tasks`, or `60 chunks` that whole nodes take."""
    return counted(plan.chunks, "chunk" if _nodes(plan) else "array task")


def _nodes(plan: Plan) -> int:
    """Count of the whole nodes of all jobs; 0 for array tasks."""
    return sum(part.nodes for part in plan.parts)


def _arrays(plan: Plan) -> str:
    if _nodes(plan):
        nodes = counted(plan.parts[0].nodes, "whole node")
        return f"none: {counted(len(plan.parts), 'job')} of {nodes}"
    if not all(part.is_array for part in plan.parts):
        return f"none: {counted(len(plan.parts), 'single job')}"
    arrays = (f"0-{p.chunks - 1}" + (f"%{p.throttle}" if p.throttle else "") for p in plan.parts)
    return f"{len(plan.parts)}: {', '.join(islice(arrays, 5))}"


def _later(plan: Plan, manifest: FrozenManifest) -> str:
    if plan.goal is None:
        return ""
    left = plan.goal.count - plan.indices.count
    has_jobs = Policies.from_json(manifest.policies).closing is not None
    how = "by closing jobs" if has_jobs else "by `hpcsweep advance`"
    return f"{counted(left, 'case')}, {how}, when {what_goes_before(plan)}"


def what_goes_before(plan: Plan) -> str:
    """What the rest of a plan's goal waits for."""
    if plan.canary:
        return "the canary is over and one of its cases complete"
    return "the queue has room for their array tasks"


def _cases_per_task(plan: Plan, manifest: FrozenManifest) -> str:
    cases = "one case" if plan.chunk_size == 1 else f"up to {plan.chunk_size} cases"
    if plan.case_seconds is None:
        return f" of {cases} each"
    rows = plan.chunk_size if _nodes(plan) else -(-plan.chunk_size // (manifest.needs.slots or 1))
    return f" of {cases}, about {duration(rows * plan.case_seconds)} each"


def _auto(plan: Plan, manifest: FrozenManifest) -> str:
    if manifest.chunk is not None:
        return ""
    if _nodes(plan):
        return " (chunk: auto), which the slots take as they get free"
    return " (chunk: auto)" if plan.case_seconds else " (chunk: auto, at most 1,000 tasks)"


# How it is known what a case takes, by `Plan.seconds_from`.
_FROM = {
    "case_seconds": "case_seconds of the manifest",
    "measured": "the mean of complete cases",
    "canary": "the mean of the canary's complete cases",
}


def case_seconds(plan: Plan) -> str:
    """How long a case takes, and how that is known; empty if it is not known."""
    if plan.case_seconds is None:
        return ""
    return f"about {duration(plan.case_seconds)}, {_FROM[plan.seconds_from]}"


def sized_options(plan: Plan, manifest: FrozenManifest) -> str:
    """sbatch's options of a plan that are not the manifest's: `mem 640M, time 00:10:00`."""
    usual = manifest.resources.options
    options = plan.resources(manifest.resources).options
    return ", ".join(
        f"{name} {value}" for name, value in sorted(options.items()) if usual.get(name) != value
    )


def _slots(plan: Plan, manifest: FrozenManifest, limits: Limits) -> str:
    """How many cases a task runs at once, and what of it idles; "" for one that has all of it."""
    needs, options = manifest.needs, plan.resources(manifest.resources).options
    has = allocation.task_resources(options)
    if needs == CaseNeeds():
        if (has.cpus or 1) == 1:
            return ""
        return f"1 of {has.cpus} CPUs (`cpus_per_case: 1` would run {has.cpus} cases at once)"
    if needs.slots is None or _nodes(plan):
        return _slots_of_node(plan, needs, options, limits)
    cpus_of_case = allocation.cpus_of_case(needs, has.cpus or needs.slots)
    text = f"{counted(needs.slots, 'case')} at once, {counted(cpus_of_case, 'CPU')}"
    text += f" and {counted(needs.gpus, 'GPU')} each" if needs.gpus else " each"
    cpus = (has.cpus or 0) - needs.slots * cpus_of_case
    gpus = (has.gpus or 0) - needs.slots * (needs.gpus or 0) if needs.gpus else 0
    idle = [counted(count, what) for count, what in ((cpus, "CPU"), (gpus, "GPU")) if count > 0]
    text += f"; {' and '.join(idle)} of a task idle" if idle else ""
    if has.gpus and not needs.gpus and needs.slots > 1:
        text += "; `srun` takes all GPUs (`gpus_per_case` divides them)"
    if plan.chunk_size < needs.slots:
        text += f"; a chunk has only {plan.chunk_size}"
    return text


def _slots_of_node(plan: Plan, needs: CaseNeeds, options: Mapping[str, str], limits: Limits) -> str:
    """How many cases a whole node runs at once, by the largest one that the limits allow."""
    most: dict[str, int] = {}
    for ceiling in limits.ceilings:
        if not ceiling.kind:
            most[ceiling.what] = min(ceiling.most, most.get(ceiling.what, ceiling.most))
    own_memory = allocation.task_resources(options).mem_bytes  # 0: all that the node has
    gpus = [one for one in allocation.gpu_requests(options) if one.option in _GPUS_OF_A_NODE]
    node = allocation.TaskResources(
        cpus=most.get(CPUS),
        mem_bytes=own_memory or most.get(MEMORY),
        gpus=sum(one.number for one in gpus) or None,
    )
    count = allocation.slots(needs, node)
    if count is None or node.cpus is None:
        return "as many as a whole node has room for"
    nodes = f"each of {_nodes(plan)} nodes" if _nodes(plan) > 1 else "a node"
    cpus = counted(needs.cpus or 1, "CPU")
    return f"up to {counted(count, 'case')} at once on {nodes}, {cpus} each"


def _case(case: ParamCase) -> str:
    """A case with its first params, each whole, up to `PARAMS_CHARACTERS`."""
    shown: dict[str, object] = {}
    for name, value in case.params.items():
        more = shown | {name: value}
        if len(json.dumps(more, ensure_ascii=False)) > PARAMS_CHARACTERS:
            break
        shown = more
    text = f"index {case.index}, {case.case_id}: {json.dumps(shown, ensure_ascii=False)}"
    left = len(case.params) - len(shown)
    return f"{text} and {counted(left, 'more param')}" if left else text


def _core_hours(plan: Plan, manifest: FrozenManifest) -> str:
    """The most that the time limits allow, and what the cases take on the average."""
    resources = plan.resources(manifest.resources)
    cores = allocation.task_resources(resources.options).cpus or resources.cpus
    seconds = time_limit_seconds(resources.options.get("time", ""))
    most = _UNLIMITED
    if seconds is not None:
        most = f"{plan.chunks * cores * seconds / 3600:.1f}"
    if plan.case_seconds is None:
        return f"at most {most}"
    rows = plan.indices.count / (manifest.needs.slots or 1)
    likely = rows * cores * plan.case_seconds / 3600
    return f"at most {most}; likely {likely:.1f}"


def _node_hours(plan: Plan, manifest: FrozenManifest) -> str:
    """The most that the time limits allow; how many cases run at once only the nodes know."""
    seconds = time_limit_seconds(plan.resources(manifest.resources).options.get("time", ""))
    if seconds is None:
        return _UNLIMITED
    return f"at most {_nodes(plan) * seconds / 3600:.1f}"


def _files(plan: Plan) -> tuple[int, int]:
    """Counts of files and of inodes; a run has params, metadata, metrics and a log."""
    cases = plan.indices.count if plan.layout.runs == "all" else 0
    # A journal and Slurm's log; a pack and its index.
    per_task = 4 if plan.layout.runs == "packed" else 2
    files = cases * 4 + plan.chunks * per_task + 8
    return files, files + cases * 2 + 10
