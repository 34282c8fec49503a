"""The time and memory that array tasks ask for, from what complete cases used. Pure.

Only what the manifest leaves out is sized, and only from some cases: one may be the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping

from hpcsweep import allocation
from hpcsweep.cluster.ceilings import MEMORY, TIME
from hpcsweep.quantities import memory_text, time_limit_text
from hpcsweep.records import Resources
from hpcsweep.store.measured import Measured

# Least count of measured cases.
SAMPLE = 3
# How many times what was measured is asked for: the other cases are not the measured ones.
TIME_FACTOR, MEMORY_FACTOR = 2.0, 1.5
# Least seconds to ask for, and the step to which they are rounded up: starting a task, its setup
# lines and its ingests are in no case's seconds.
LEAST_TIME_S, TIME_STEP_S = 600, 300
# Bytes for the worker and its child, whatever the cases need.
OWN_BYTES = 256 << 20
# sbatch's options that ask for memory.
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")


def with_memory(
    resources: Resources, measured: Measured | None, slots: int, caps: Mapping[str, int]
) -> Resources:
    """The resources with memory for as many of the largest measured case as there are slots.

    Unchanged where they ask for memory, or for a whole node. And for cases with several CPUs: of
    their processes only the largest was measured.
    """
    if measured is None or measured.cases < SAMPLE or measured.max_rss_bytes is None:
        return resources
    options = resources.options
    cpus = allocation.task_resources(options).cpus or 1
    is_several = cpus > slots or allocation.starts_several(options)
    if is_several or allocation.is_whole_node(options) or any(name in options for name in _MEMORY):
        return resources
    needed = OWN_BYTES + slots * MEMORY_FACTOR * measured.max_rss_bytes
    return Resources(options={**options, "mem": memory_text(min(needed, caps.get(MEMORY, needed)))})


def with_time(
    resources: Resources, measured: Measured | None, cases: int, caps: Mapping[str, int]
) -> Resources:
    """The resources with a time limit for this many cases, one after the other.

    Unchanged where they have one.
    """
    if measured is None or measured.cases < SAMPLE or "time" in resources.options:
        return resources
    likely = measured.longest_s + (cases - 1) * measured.mean_s
    needed_s = max(LEAST_TIME_S, TIME_FACTOR * likely)
    rounded = -(-needed_s // TIME_STEP_S) * TIME_STEP_S
    text = time_limit_text(min(rounded, caps.get(TIME, rounded)))
    return Resources(options={**resources.options, "time": text})
