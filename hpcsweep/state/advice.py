"""Lines of a manifest that ask for what attempts needed. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from hpcsweep.quantities import memory_text, size_text, time_limit_text
from hpcsweep.records import Reason
from hpcsweep.state.resource_use import OVERLAP, ResourceUse, covering

# From so many complete cases on there is an advice.
CASES_MIN = 5
# What an advice asks for, in uses: inputs differ, and runs on busy nodes take longer.
MEMORY_MARGIN, TIME_MARGIN = 1.25, 1.5
# Memory is advised in steps of so many bytes, time in steps of so many seconds.
MEMORY_STEP, TIME_STEP = 100 << 20, 60
# An advice to ask for less saves at least a fifth.
WORTH_SAYING = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A line of the manifest's `slurm:` that fits what was used."""

    option: str
    value: str
    # What was asked for; None if nothing was.
    instead_of: str | None
    because: str

    @property
    def text(self) -> str:
        """For people; it begins with the line as the manifest takes it."""
        instead = f"instead of {self.instead_of}: " if self.instead_of else ""
        return f"{self.option}: {self.value}  # {instead}{self.because}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def advice_for(use: ResourceUse) -> list[Advice]:
    """What to ask for instead; empty if that fits, or if too few cases are complete."""
    if use.complete < CASES_MIN:
        return []
    made = (_memory_advice(use), _time_advice(use), _cpu_advice(use))
    return [advice for advice in made if advice]


def _memory_advice(use: ResourceUse) -> Advice | None:
    needed, options = use.memory_needed, use.resources.options
    if needed is None or use.has_whole_nodes or "mem-per-gpu" in options:
        return None
    value = _up(needed * MEMORY_MARGIN, MEMORY_STEP)
    asked = use.memory_asked
    if asked is not None and WORTH_SAYING * asked < value and needed <= asked:
        return None
    option, per = ("mem-per-cpu", use.resources.cpus) if "mem-per-cpu" in options else ("mem", 1)
    share = _up(value / per, MEMORY_STEP)
    return Advice(
        option=option,
        value=memory_text(share),
        instead_of=options.get(option),
        because=_of_cases(use, len(use.peaks), f"needed {size_text(needed // use.at_once)}"),
    )


def _time_advice(use: ResourceUse) -> Advice | None:
    needed, asked = use.time_needed_s, use.time_asked_s
    if needed is None or Reason.TIMEOUT in use.ran_out:
        return None
    value = _up(needed * TIME_MARGIN, TIME_STEP)
    if asked is not None and value > WORTH_SAYING * asked:
        return None
    return Advice(
        option="time",
        value=f'"{time_limit_text(value)}"',
        instead_of=use.resources.options.get("time"),
        because=f"{_percentile_text(use.tasks, 'task')} took {time_limit_text(needed)}",
    )


def _cpu_advice(use: ResourceUse) -> Advice | None:
    each = covering(use.cpus)
    if each is None:
        return None
    value = max(1, math.ceil(each * use.at_once - OVERLAP))
    if value >= use.resources.cpus:
        return None
    return Advice(
        option="cpus-per-task",
        value=str(value),
        instead_of=str(use.resources.cpus),
        because=_of_cases(use, len(use.cpus), f"used {each:.2f} CPUs"),
    )


def _of_cases(use: ResourceUse, count: int, used: str) -> str:
    at_once = f", {use.at_once} at once" if use.at_once > 1 else ""
    return f"{_percentile_text(count, 'case')} {used}{at_once}"


def _percentile_text(count: int, what: str) -> str:
    if count == 1:
        return f"the only {what}"
    return f"the largest of {count} {what}s" if count < 100 else f"the 99th percentile of {what}s"


def _up(value: float, step: int) -> int:
    """A multiple of `step`, rounded up."""
    return math.ceil(value / step) * step
