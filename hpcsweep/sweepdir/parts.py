"""Divide indices into chunks, and chunks into parts, within the limits of a cluster.

Commands divide; a task only reads the plan.
"""

from __future__ import annotations

from hpcsweep.errors import InputError
from hpcsweep.records import Part

# `chunk: auto` makes at most this many tasks: Slurm's default MaxArraySize is 1001. With a smaller
# MaxArraySize it makes one array, or up to FEW_TASKS tasks if that array would be tiny.
AUTO_TASKS = 1000
FEW_TASKS = 100
# Slurm's default, used until the cluster's limit is read.
MAX_ARRAY_SIZE = 1001
# Each part is one sbatch with its own files: more of them mean that the chunk is too small.
PARTS_MAX = 10_000


def chunk_size_for(
    count: int,
    chunk: int | None,
    max_tasks: int | None = None,
    max_array_size: int = MAX_ARRAY_SIZE,
) -> int:
    """Cases per chunk: given, or enough for at most `AUTO_TASKS` tasks, if possible in one array.

    *Raises* InputError if the given size makes more tasks than the cluster accepts.
    """
    enough = max(1, -(-count // most_auto_tasks(max_tasks, max_array_size)))
    if chunk and max_tasks and -(-count // chunk) > max_tasks:
        raise InputError(
            f"{-(-count // chunk)} array tasks are more than the {max_tasks} that this cluster, "
            "which starts all of them at once, can have",
            where="chunk",
            next_step=f"Write `chunk: {enough}` or more, or `chunk: auto`.",
        )
    return chunk or enough


def most_auto_tasks(max_tasks: int | None, max_array_size: int) -> int:
    """How many tasks `chunk: auto` makes at most, as long as it knows nothing of their duration."""
    return min(AUTO_TASKS, max_tasks or AUTO_TASKS, max(FEW_TASKS, tasks_per_array(max_array_size)))


def make_parts(chunks: int, *, max_array_size: int, throttle: int) -> tuple[Part, ...]:
    """The arrays for `chunks` tasks, each below the cluster's limit on the array *index*.

    Without arrays (MaxArraySize 0) each task is its own job. A throttle is divided over the
    parts; the first ones get the remainder. *Raises* InputError for a throttle below the count of
    parts, or for more than `PARTS_MAX` parts.
    """
    largest = tasks_per_array(max_array_size)
    has_arrays = max_array_size > 0
    count = -(-chunks // largest)
    if count > PARTS_MAX:
        raise InputError(
            f"{chunks} array tasks would need {count} arrays of at most {largest} (MaxArraySize "
            f"{max_array_size}); a submission can have {PARTS_MAX}",
            where="chunk",
            next_step=f"Make `chunk:` at least {-(-count // PARTS_MAX)} times as large, or auto.",
        )
    if 0 < throttle < count:
        if not has_arrays:
            raise InputError(
                "job arrays are switched off on this cluster (MaxArraySize 0), and single jobs "
                "have no throttle",
                where="--throttle",
                next_step=f"Leave it out, or make `chunk:` larger: {chunks} jobs would be sent.",
            )
        raise InputError(
            f"a throttle of {throttle} cannot be divided over {count} arrays",
            next_step=f"Give --throttle {count} or more, or a larger `chunk:`.",
        )
    parts = []
    for number in range(count):
        first = number * largest
        share = throttle // count + (number < throttle % count) if throttle else 0
        parts.append(
            Part(
                number=number,
                first_chunk=first,
                chunks=min(largest, chunks - first),
                throttle=share,
                is_array=has_arrays,
            )
        )
    return tuple(parts)


def make_node_parts(chunks: int, *, jobs: int, nodes: int) -> tuple[Part, ...]:
    """The jobs of `nodes` whole nodes each that share the chunks; each gets a range of them.

    *Raises* InputError for more than `PARTS_MAX` jobs.
    """
    if jobs > PARTS_MAX:
        raise InputError(
            f"{jobs} jobs of whole nodes are more than the {PARTS_MAX} that a submission can have",
            where="slurm.nodes",
            next_step="Write how many nodes work at once: each runs chunk after chunk.",
        )
    bounds = [chunks * number // jobs for number in range(jobs + 1)] if jobs else [0]
    return tuple(
        Part(number=number, first_chunk=first, chunks=end - first, is_array=False, nodes=nodes)
        for number, (first, end) in enumerate(zip(bounds, bounds[1:]))
    )


def tasks_per_array(max_array_size: int) -> int:
    """Tasks per array. MaxArraySize caps the index: 1001 allows 0-1000; this uses one task less."""
    return max(1, max_array_size - 1, min(max_array_size, 2))
