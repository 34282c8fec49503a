"""Golden values of sources, compared with whatever numpy is installed here.

    python -m tests.support.golden

Needs hpcsweep's sources and numpy, nothing else: it also runs where only these two are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpcsweep import ids
from hpcsweep.sources import ParameterSource, SeedBundle, design, grid, linspace, random

DATA = Path(__file__).parents[1] / "data/golden"
# Cases of each source whose columns are compared with single reads, to the last bit.
COMPARED = 3000


def differences() -> Iterator[str]:
    """Yield values that differ from the recorded ones, or between single reads and columns."""
    golden = json.loads((DATA / "sources.json").read_text("utf-8"))
    source: ParameterSource
    for one in golden["distributions"]:
        name, rule = one["name"], one["distribution"]
        label = f"{rule['type']} with seed {one['seed']}"
        source = random({name: rule}, COMPARED, one["seed"])
        count = len(one["values"])
        yield from _compared(label, [source.params(i)[name] for i in range(count)], one["values"])
        yield from _compared(f"{label}, columns", _listed(source, count)[name], one["values"])
        yield from _columns(label, source)
    for one in golden["designs"]:
        source = design(one["method"], one["space"], one["n_trials"], one["seed"])
        values = [source.params(index) for index in one["indices"]]
        yield from _compared(one["method"], values, one["values"])
        yield from _columns(one["method"], source)
    for one in golden["shuffles"]:
        wide = {"x": range(2**40), "y": range(2**40)}
        axes = wide if one["count"] > 2**60 else {"x": range(one["count"])}
        source = grid(**axes).shuffle(one["seed"])
        values = [source.params(index) for index in one["indices"]]
        yield from _compared(f"shuffle of {one['count']}", values, one["values"])
    for one in golden["seeds"]:
        bundle = SeedBundle(one["root_seed"], one["replicate_index"], one["case_id"])
        derived = {name: f"{bundle.derive(name):032x}" for name in one["derive"]}
        yield from _compared(f"streams of {one['root_seed']}", derived, one["derive"])
    yield from _columns("linspace", grid(x=linspace(0, 1, 1001), y=linspace(-3, 7, 3)))
    yield from _identities()


def _identities() -> Iterator[str]:
    """Case ids of numpy's own scalars."""
    for value, plain in ((np.float64(0.1), 0.1), (np.int64(3), 3), (np.bool_(True), True)):
        yield from _compared(repr(value), ids.case_id({"x": value}), ids.case_id({"x": plain}))
    for one in json.loads((DATA / "ids.json").read_text("utf-8"))["cases"]:
        case_id = ids.case_id(one["params"], one["replicate"])
        yield from _compared(str(one["params"]), case_id, one["case_id"])


def _columns(label: str, source: ParameterSource) -> Iterator[str]:
    count = min(COMPARED, source.n_cases)
    rows = [source.params(index) for index in range(count)]
    single = {name: [row[name] for row in rows] for name in rows[0]}
    yield from _compared(f"{label}, columns and single reads", _listed(source, count), single)


def _listed(source: ParameterSource, count: int) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in source.columns(0, count).items()}


def _compared(label: str, actual: Any, expected: Any) -> Iterator[str]:
    # The text tells 1 from 1.0 and True, and every bit of a float.
    one, other = (json.dumps(value, sort_keys=True) for value in (actual, expected))
    if one != other:
        yield f"{label}: {one:.200} is not {other:.200}"


def main() -> int:
    """Print the version of numpy and what differs. Returns the exit code."""
    lines = list(differences())
    print("\n".join([f"numpy {np.__version__}: {len(lines)} differences", *lines]))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
