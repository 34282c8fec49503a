"""What one case needs: the keys of a manifest that say so, against what its task asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hpcsweep import allocation
from hpcsweep.allocation import TaskResources
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.quantities import memory_text
from hpcsweep.records import CaseNeeds

# sbatch's options by what they ask for.
_CPUS = ("cpus-per-task", "cpus-per-gpu")
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
_GPUS = ("gpus", "gpus-per-node", "gpus-per-task", "gres", "tres-per-task")


def read(
    given: CaseNeeds, options: dict[str, str], mistakes: Mistakes
) -> tuple[CaseNeeds, dict[str, str]]:
    """The needs to freeze, and sbatch's options with those that follow from the needs.

    `given` is what the keys say. The frozen needs hold the count of slots, unless only the task
    can know it; they are empty for a task of one slot that has all its CPUs, as without the keys.
    Adds what the keys and the options say against each other to `mistakes`.
    """
    if given == CaseNeeds():
        return given, options
    has, several = allocation.task_resources(options), allocation.starts_several(options)
    _check(given, has, options, mistakes)
    if several and (given.slots or 1) > 1:
        mistakes.add(
            ("slots",),
            f"is {given.slots}, but a case has several processes by slurm.{several} "
            f"({mistakes.where(('slurm', several))})",
            "Remove one of them: processes of MPI belong to one case.",
        )
    count = 1 if several else allocation.slots(given, has)
    if count is None and not allocation.is_whole_node(options):
        count = 1
    options = options | _derived(given, count or 1, options)
    if count == 1 and given == CaseNeeds(cpus=given.cpus, slots=given.slots):
        return CaseNeeds(), options
    return replace(given, slots=count), options


def _derived(given: CaseNeeds, count: int, options: dict[str, str]) -> dict[str, str]:
    """The options that the manifest leaves to the needs of `count` cases at once."""
    derived = {}
    if (given.cpus or count > 1) and not any(name in options for name in _CPUS):
        derived["cpus-per-task"] = str(count * (given.cpus or 1))
    if allocation.is_whole_node(options):
        return derived
    if given.mem_bytes and not any(name in options for name in _MEMORY):
        derived["mem"] = memory_text(count * given.mem_bytes)
    if given.gpus and not allocation.asks_for_gpus(options):
        derived["gpus-per-node"] = str(count * given.gpus)
    return derived


class _Resource(NamedTuple):
    """One kind of resource of a case and of its task."""

    key: str
    # For one case; the least count of CPUs is 1.
    per_case: int | None
    per_task: int | None
    option: str
    noun: str

    def text(self, count: int) -> str:
        """A count as a manifest has it."""
        return memory_text(count) if self.key == "mem_per_case" else str(count)


def _check(
    given: CaseNeeds, has: TaskResources, options: dict[str, str], mistakes: Mistakes
) -> None:
    def option(names: tuple[str, ...]) -> str:
        return next((name for name in names if name in options), names[0])

    if given.cpus is not None and "cpus-per-gpu" in options:
        place = mistakes.where(("slurm", "cpus-per-gpu"))
        mistakes.add(
            ("cpus_per_case",), f"excludes slurm.cpus-per-gpu ({place})", "Keep one of them."
        )
        return
    for resource in (
        _Resource("cpus_per_case", given.cpus or 1, has.cpus, option(_CPUS), "CPUs"),
        _Resource("mem_per_case", given.mem_bytes, has.mem_bytes, option(_MEMORY), "of memory"),
        _Resource("gpus_per_case", given.gpus, has.gpus, option(_GPUS), "GPUs"),
    ):
        if resource.per_case is not None and resource.per_task is not None:
            _check_one(resource, given.slots or 1, options, mistakes)


def _check_one(
    resource: _Resource, slots: int, options: dict[str, str], mistakes: Mistakes
) -> None:
    per_case, per_task = resource.per_case or 0, resource.per_task or 0
    option, needs = resource.option, resource.text(per_case)
    place = mistakes.where(("slurm", option))
    if per_case > per_task:
        mistakes.add(
            (resource.key,),
            f"is {needs}, but slurm.{option} is {options[option]} ({place})",
            "Keep one of them.",
        )
    elif slots * per_case > per_task:
        mistakes.add(
            ("slots",),
            f"is {slots}, but the task has {resource.text(per_task)} {resource.noun} by "
            f"slurm.{option} ({place}), and each case needs {needs}",
            f"Write {per_task // per_case} or less, or ask for more.",
        )
    elif resource.key == "gpus_per_case" and per_task % per_case:
        mistakes.add(
            (resource.key,),
            f"is {per_case}, and the {per_task} GPUs of a task ({place}) cannot be divided by it",
            "Ask for a multiple of it: what is left over would idle.",
        )
