"""The key `mode` of a manifest: what runs the chunks, and with how many whole nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.records import ARRAY, NODE_JOBS, SINGLE_JOB, CaseNeeds

# sbatch's options of a case with several processes; and all that divide a node, or a case over
# nodes, with what to write instead.
_SEVERAL = (
    *("ntasks", "ntasks-per-node", "tasks-per-node"),
    *("ntasks-per-core", "ntasks-per-socket", "ntasks-per-gpu"),
)
_PARTS_OF_NODES = {
    "cpus-per-task": "Write `cpus_per_case:`: as many cases run at once as the node has CPUs.",
    "cpus-per-gpu": "Write `cpus_per_case:` and `gpus_per_case:`.",
    "mem-per-cpu": "Write `mem_per_case:`.",
    "mem-per-gpu": "Write `mem_per_case:`.",
} | dict.fromkeys(
    _SEVERAL, "Leave it out. A case of several processes, as of MPI, needs `mode: array`."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """What runs the chunks."""

    name: str = ARRAY
    # Count of whole nodes; 0 for array tasks.
    nodes: int = 0
    # What a case needs; in a whole node at least a CPU.
    needs: CaseNeeds = field(default_factory=CaseNeeds)
    # sbatch's options of the manifest, and those that the mode adds to them.
    options: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)


def read(name: str, needs: CaseNeeds, options: dict[str, str], mistakes: Mistakes) -> Mode:
    """The mode of a manifest with these needs of a case and these options of sbatch.

    Adds what cannot be with whole nodes to `mistakes`.
    """
    if name == ARRAY:
        return Mode(needs=needs, options=options)
    for option, next_step in _PARTS_OF_NODES.items():
        if option in options:
            what = f"is given, and `mode: {name}` takes whole nodes"
            mistakes.add(("slurm", option), what, next_step)
    if options.get("exclusive"):
        what = f"is {options['exclusive']}, and `mode: {name}` takes whole nodes"
        mistakes.add(("slurm", "exclusive"), what, "Leave it out.")
    nodes = _nodes(name, options, mistakes)
    rest = {option: value for option, value in options.items() if option != "nodes"}
    own = {"nodes": str(nodes if name == SINGLE_JOB else 1), "ntasks-per-node": "1"}
    if name == SINGLE_JOB:  # else the failure of one node ends the job (22.05)
        own["no-kill"] = ""
    if "mem" not in options:
        own["mem"] = "0"
    return Mode(
        name=name,
        nodes=nodes,
        needs=CaseNeeds(cpus=1) if needs == CaseNeeds() else needs,
        options=rest | {"exclusive": ""},
        own=own,
    )


def _nodes(name: str, options: dict[str, str], mistakes: Mistakes) -> int:
    text = options.get("nodes", "1")
    nodes = int(text) if text.isdecimal() else 0
    if not nodes:
        mistakes.add(("slurm", "nodes"), f"is {text}, not a number", "Write, for example, 4.")
    elif nodes == 1 and name == SINGLE_JOB:
        place = ("slurm", "nodes") if "nodes" in options else ("mode",)
        mistakes.add(
            place,
            "is a single job of one node",
            f"Write how many nodes it has, slurm.nodes, or `mode: {NODE_JOBS}` for one node.",
        )
    return nodes
