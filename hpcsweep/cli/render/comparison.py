"""Print the comparison of two sweeps."""

from __future__ import annotations

from collections import Counter

from hpcsweep.cli.render import console, layout
from hpcsweep.cli.render.console import print_facts, print_line, print_texts
from hpcsweep.quantities import counted
from hpcsweep.state.code_counts import DIGEST_DIGITS
from hpcsweep.tables.compare import MetricDifference, Side, SweepComparison
from hpcsweep.tables.formats import cell

# Largest counts of lines: of cases that differ, and of things in the environments.
CASES_SHOWN = 10
FACTS_SHOWN = 10


def print_comparison(comparison: SweepComparison) -> None:
    """Print what two sweeps have in common, and in what they differ."""
    a, b = comparison.a, comparison.b
    both = comparison.both
    print_facts(
        [
            ("A", f"{a.label}, {counted(a.cases, 'case')}"),
            ("B", f"{b.label}, {counted(b.cases, 'case')}"),
            ("cases", f"{both} in both, {a.cases - both} only in A, {b.cases - both} only in B"),
            ("status", _statuses(comparison.statuses)),
            ("code", _code(a, b)),
            ("environment", _environment(comparison)),
        ]
    )
    _print_metrics(comparison)
    _print_differences(comparison.differences)


def _statuses(statuses: Counter[tuple[str, str]]) -> str:
    """The same first, then the changes."""
    same = [f"{count} {a} in both" for (a, b), count in sorted(statuses.items()) if a == b]
    changed = [f"{count} {a} -> {b}" for (a, b), count in sorted(statuses.items()) if a != b]
    return ", ".join(same + changed) or "no case is in both"


def _code(a: Side, b: Side) -> str:
    if a.code.keys() == b.code.keys() and len(a.code) == 1:
        return f"the same: {_digests(a.code)}"
    return f"A {_digests(a.code)}; B {_digests(b.code)}"


def _digests(code: Counter[str]) -> str:
    parts = (f"{digest[:DIGEST_DIGITS]} ({count})" for digest, count in code.most_common())
    return ", ".join(parts) or "nothing is complete"


def _environment(comparison: SweepComparison) -> str:
    differing = comparison.environment
    if not (comparison.a.environment and comparison.b.environment):
        return "not known of both"
    texts = [f"{name} {a or 'none'} -> {b or 'none'}" for name, (a, b) in differing.items()]
    more = len(texts) - FACTS_SHOWN
    rest = f", and {more} more" if more > 0 else ""
    return ", ".join(texts[:FACTS_SHOWN]) + rest or "the same"


def _print_metrics(comparison: SweepComparison) -> None:
    metrics = comparison.metrics
    if not metrics:
        print_line("no case is complete in both and has metrics")
        return
    columns = {
        "metric": list(metrics),
        "equal": [str(one.equal) for one in metrics.values()],
        "different": [str(one.different) for one in metrics.values()],
        "only A": [str(one.only_a or "") for one in metrics.values()],
        "only B": [str(one.only_b or "") for one in metrics.values()],
        "largest B - A": [cell(one.largest_absolute) for one in metrics.values()],
        "relative": [
            cell(abs(one.largest.relative) if one.largest and one.largest.relative else None)
            for one in metrics.values()
        ],
    }
    print_line("")
    _print_columns({name: cells for name, cells in columns.items() if any(cells)}, {"metric"})


def _print_differences(differences: list[MetricDifference]) -> None:
    if not differences:
        return
    shown = differences[:CASES_SHOWN]
    print_line("")
    _print_columns(
        {
            **_indices(shown),
            "metric": [one.metric for one in shown],
            "A": [cell(one.a) for one in shown],
            "B": [cell(one.b) for one in shown],
            "B - A": [cell(one.absolute) for one in shown],
            "relative": [cell(one.relative) for one in shown],
        },
        {"metric"},
    )
    more = len(differences) - len(shown)
    if more:
        print_line(f"… and {counted(more, 'more difference')}: --json has them all")


def _indices(differences: list[MetricDifference]) -> dict[str, list[str]]:
    """The indices of cases in both sweeps: one column if they are the same."""
    a = [str(one.index_a) for one in differences]
    b = [str(one.index_b) for one in differences]
    return {"index": a} if a == b else {"index A": a, "index B": b}


def _print_columns(columns: dict[str, list[str]], texts: set[str]) -> None:
    """Print a table; columns that do not fit are named below it."""
    made = [
        layout.cleaned(layout.LayoutColumn(name=name, cells=cells, right=name not in texts))
        for name, cells in columns.items()
    ]
    width = console.width()
    fitting = layout.fitting(made, width)
    print_texts(*layout.lines(fitting, width))
    left_out = [column.name for column in made if column not in fitting]
    if left_out:
        print_facts([[f"not shown for width: {', '.join(left_out)}; --json has them"]])
