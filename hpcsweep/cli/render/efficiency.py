"""Print what tasks asked for, what they used, and what to ask for instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.quantities import counted, duration, size_text, time_limit_text
from hpcsweep.records import Reason
from hpcsweep.state.advice import CASES_MIN, advice_for
from hpcsweep.state.efficiency import Efficiency, histogram
from hpcsweep.state.executions import Floats
from hpcsweep.state.remarks import core_hours_text
from hpcsweep.state.resource_use import ResourceUse

# Intervals of a histogram, and characters of its longest bar.
BINS, BAR = 6, 32
HOUR_S = 3600.0


def print_efficiency(efficiency: Efficiency) -> None:
    """Print a paragraph for each set of options that tasks had, with the advice last."""
    if not efficiency.uses:
        print_line("no attempt has ended")
    for number, use in enumerate(efficiency.uses):
        if number:
            print_line("")
        print_facts(list(_facts(use)))
        _print_histogram("memory of a case", use.peaks, lambda value: size_text(round(value)))
        _print_histogram("time of a task", use.task_seconds, duration)
        _print_advice(use)


def _facts(use: ResourceUse) -> Iterator[tuple[str, str]]:
    options = use.resources.options
    asked = ", ".join(f"{name} {value}".rstrip() for name, value in options.items())
    yield "asked for", asked or "nothing: the cluster's defaults"
    at_once = f", {use.at_once} at once" if use.at_once > 1 else ""
    tasks = f"{counted(use.tasks, 'task')}{at_once}"
    yield "attempts", f"{use.attempts} in {tasks}; {use.complete} complete"
    for reason, count in use.ran_out.items():
        yield "", f"{count} ended by {'memory' if reason is Reason.OUT_OF_MEMORY else 'time'}"
    yield "CPU", core_hours_text(use.cpu_used_s / HOUR_S, use.cpu_asked_s / HOUR_S)
    yield "memory", _memory_text(use)
    yield "time", _time_text(use)
    if use.gpus:
        yield "GPUs", f"{use.gpus}; their use is not measured"


def _memory_text(use: ResourceUse) -> str:
    needed, asked = use.memory_needed, use.memory_asked
    if needed is None:
        return "no complete case with a known peak"
    text = f"{size_text(needed)} was enough for 99 % of the cases"
    if use.has_whole_nodes:
        return f"{text}; the tasks had all memory of their nodes"
    if asked is None:
        return f"{text}; nothing was asked for"
    return f"{text}, of {size_text(asked)}{_share(needed, asked)}"


def _time_text(use: ResourceUse) -> str:
    needed, asked = use.time_needed_s or 0.0, use.time_asked_s
    text = f"{duration(needed)} was enough for 99 % of the tasks"
    if asked is None:
        return f"{text}; no limit was asked for"
    return f"{text}, of {time_limit_text(asked)}{_share(needed, asked)}"


def _share(used: float, asked: float) -> str:
    return f" ({100 * used / asked:.0f} %)" if asked else ""


def _print_histogram(title: str, values: Floats, text: Callable[[float], str]) -> None:
    """Print a bar for each interval; none of values that nobody would tell apart."""
    if len(values) < CASES_MIN:
        return
    intervals = histogram(values, BINS)
    labels = [f"{text(low)} to {text(high)}" for low, high, _ in intervals]
    if len(set(labels)) < len(labels):
        return
    most = max(count for _, _, count in intervals)
    widths = [max(map(len, column)) for column in (labels, [str(n) for *_, n in intervals])]
    print_line("")
    print_line((title, "bold"))
    for label, (*_, count) in zip(labels, intervals, strict=True):
        # A count that is not zero has a bar.
        bar = "#" * (-(-count * BAR // most))
        print_line(f"  {label:>{widths[0]}}  {count:>{widths[1]}}  {bar}".rstrip())


def _print_advice(use: ResourceUse) -> None:
    advice = advice_for(use)
    if use.complete < CASES_MIN:
        print_line(f"no advice before {CASES_MIN} cases are complete")
        return
    if not advice:
        print_line("what was asked for fits what was used")
        return
    print_line("")
    print_line(
        "In the manifest, below `slurm:`",
    )
    for line in advice:
        print_line("  ", (line.text, "green"))
