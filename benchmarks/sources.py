"""What one case costs, however long its source is, and what a column of cases costs.

python benchmarks/sources.py
"""

from __future__ import annotations

import hashlib
import json
import math
import random as python_random
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import measuring
import numpy as np

from hpcsweep import ids
from hpcsweep.sources import (
    ParameterSource,
    choice,
    constant,
    design,
    grid,
    lognormal,
    loguniform,
    loguniform_int,
    manual,
    normal,
    quniform,
    randint,
    random,
    source_from_manifest_dict,
    truncnormal,
    uniform,
    weighted_choice,
)

ROUNDS = 15
CALLS = 1_000
COLUMN = 1_000_000
# A large prime: it visits indices all over a source, whatever its length.
STRIDE = 1_000_003
TITLES = ("what", "ours", "peer", "ratio", "budget")


def main() -> None:
    """Measure and print."""
    print(f"{measuring.machine()}, numpy {np.__version__}")
    print(f"Seconds of the processor, median of {ROUNDS} interleaved rounds")
    _grids()
    _draws()
    _columns()
    _ids()
    _views()
    _files()


# --- single cases -----------------------------------------------------------------------------


def _grids() -> None:
    axes: dict[str, Sequence[Any]] = {f"p{i:02d}": [j / 10 for j in range(10)] for i in range(18)}
    whole, short = grid(**axes), grid(**{name: [0.0, 0.1] for name in axes})
    alone, case, smaller, loop, hashed, peer = measuring.medians(
        ROUNDS,
        lambda: _each(lambda i: whole.params(i * STRIDE % whole.n_cases)),
        lambda: _each(lambda i: whole[i * STRIDE % whole.n_cases]),
        lambda: _each(lambda i: short[i * STRIDE % short.n_cases]),
        lambda: _each(lambda i: _divmod_loop(axes, i * STRIDE % whole.n_cases)),
        lambda: _each(lambda i: ids.case_id(_divmod_loop(axes, i * STRIDE % whole.n_cases))),
        _parameter_grid(axes, whole.n_cases),
    )
    _show(
        "Grid of 18 axes and 10^18 cases",
        [
            ("`grid.params(i)` against a divmod loop that fills the dict", alone, loop, "2"),
            ("`grid[i]`, with the case id, against that loop", case, loop, "6"),
            ("`grid[i]` against that loop and `ids.case_id`", case, hashed, ""),
            ("`grid[i]` of 10^18 cases against 2^18", case, smaller, ""),
            ("`grid.params(i)` against scikit-learn's `ParameterGrid(…)[i]`", alone, peer, ""),
        ],
    )


def _divmod_loop(axes: Mapping[str, Sequence[Any]], index: int) -> dict[str, Any]:
    params = {}
    for name, axis in reversed(axes.items()):
        index, position = divmod(index, len(axis))
        params[name] = axis[position]
    return params


def _parameter_grid(axes: Mapping[str, Sequence[Any]], count: int) -> Callable[[], float]:
    """scikit-learn's, where it is installed."""
    try:
        from sklearn.model_selection import ParameterGrid  # noqa: PLC0415
    except ImportError:
        return lambda: math.nan
    peer = ParameterGrid(dict(axes))
    return lambda: _each(lambda i: peer[i * STRIDE % count])


def _draws() -> None:
    """The ancestor seeds one generator of Python's for each index, and hashes sorted JSON."""
    trials = 10**12
    space = {"n": randint(1, 10), "lr": loguniform(1e-3, 1), "c": choice(["a", "b"])}
    source = random(space, n_trials=trials, seed=42)
    plain = random({"x": uniform(0, 1), "y": uniform(0, 1)}, n_trials=trials, seed=1)
    sobol = design("sobol", space, 2**40, 42)
    ours, theirs, two, generator, one = measuring.medians(
        ROUNDS,
        lambda: _each(lambda i: source[i * STRIDE % trials]),
        lambda: _each(lambda i: _ancestor(42, i * STRIDE % trials)),
        lambda: _each(lambda i: plain[i * STRIDE % trials]),
        lambda: _each(lambda i: _generator_for(i * STRIDE % trials)),
        lambda: _each(lambda i: sobol[i * STRIDE % 2**40]),
    )
    _show(
        "Random cases at any index of 10^12, with their ids",
        [
            ("`random[i]` of 3 parameters against the ancestor's algorithm", ours, theirs, "2"),
            ("`random[i]` of 2 against a numpy generator seeded by (seed, i)", two, generator, ""),
            ('`design("sobol")[i]` of 3 against the ancestor\'s algorithm', one, theirs, ""),
        ],
    )


def _ancestor(seed: int, index: int) -> tuple[dict[str, Any], str]:
    """metalab's RandomSource of February 2026, from its description."""
    generator = python_random.Random(seed * 1_000_000_007 + index)  # noqa: S311
    params: dict[str, Any] = {}
    params["c"] = generator.choice(("a", "b"))
    params["lr"] = math.exp(generator.uniform(math.log(1e-3), math.log(1)))
    params["n"] = generator.randint(1, 10)
    return params, _fingerprint(params)


def _fingerprint(params: dict[str, Any]) -> str:
    plain = {key: _canonical(params[key]) for key in sorted(params)}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            raise ValueError(value)
        return repr(value)
    raise TypeError(value)


def _generator_for(index: int) -> dict[str, float]:
    """The usual way to a draw at an index, without numpy's cost of making 10^12 of them."""
    generator = np.random.default_rng((1, index))
    return {"x": generator.random(), "y": generator.random()}


def _ids() -> None:
    cases = [{"dt": 1e-3, "omega": i / 7, "label": f"run {i}", "n": i} for i in range(CALLS)]
    ours, peer = measuring.medians(
        ROUNDS,
        lambda: _each(lambda i: ids.case_id(cases[i])),
        lambda: _each(lambda i: _plain_hash(cases[i])),
    )
    _show("Case id of four params", [("`case_id` against sorted JSON and SHA-256", ours, peer, "")])


def _plain_hash(params: dict[str, Any]) -> str:
    """What most people write; 1 and 1.0 differ for it, and key order is not RFC 8785's."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]


def _views() -> None:
    axes = {f"p{i:02d}": [j / 10 for j in range(10)] for i in range(9)}
    whole = grid(**axes, **{f"q{i:02d}": [j / 10 for j in range(10)] for i in range(9)})
    left, right = grid(**axes), grid(**{f"q{i:02d}": [j / 10 for j in range(10)] for i in range(9)})
    views: dict[str, ParameterSource] = {
        "`(a * b)[i]`, each of 9 axes": left * right,
        "`grid[::3][i]`": whole[::3],
        "`grid.shuffle(seed)[i]`": whole.shuffle(1),
        "`grid.repeat(3)[i]`": whole.repeat(3),
    }
    bare, *found = measuring.medians(
        ROUNDS,
        lambda: _each(lambda i: whole[i * STRIDE % whole.n_cases]),
        *(_reader(view) for view in views.values()),
    )
    rows = [
        (f"{what} against `grid[i]`", time, bare, "")
        for what, time in zip(views, found, strict=True)
    ]
    _show("Sources of sources, 10^18 cases and more", rows)


def _reader(source: ParameterSource) -> Callable[[], float]:
    return lambda: _each(lambda i: source[i * STRIDE % source.n_cases])


# --- columns ----------------------------------------------------------------------------------


def _columns() -> None:
    rules = {
        "uniform": (uniform(0, 1), 3),
        "randint": (randint(1, 10), 10),
        "choice of numbers": (choice([1.0, 2.0, 3.0]), 10),
        "choice of texts": (choice(["a", "b", "c"]), 10),
        "weighted_choice": (weighted_choice([1, 2, 3], [1, 2, 3]), 10),
        "quniform": (quniform(0, 1, 0.1), 10),
        "constant": (constant(5), 10),
        "loguniform": (loguniform(1e-5, 1), 10),
        "loguniform_int": (loguniform_int(1, 1000), 10),
        "normal": (normal(), 10),
        "lognormal": (lognormal(), 10),
        "truncnormal": (truncnormal(0, 1, -1, 2), 10),
    }
    sources = {name: random({"x": rule}, COLUMN, 1) for name, (rule, _) in rules.items()}
    generator = np.random.Generator(np.random.Philox(key=1))
    axes = {f"p{i}": [j / 10 for j in range(10)] for i in range(6)}
    peer, six, listed, *found = measuring.medians(
        ROUNDS,
        lambda: _seconds(lambda: generator.random(COLUMN)),
        lambda: _seconds(lambda: grid(**axes).columns()),
        lambda: _seconds(lambda: [*map(grid(**axes).params, range(CALLS))]),
        *(_column(source) for source in sources.values()),
    )
    rows = [
        (name, time, peer, str(budget))
        for (name, (_, budget)), time in zip(rules.items(), found, strict=True)
    ]
    rows.append(("grid of 6 axes, a column of it", six / 6, peer, ""))
    scale = 1e9 / COLUMN
    texts = [
        (what, f"{scale * ours:.1f} ns", f"{scale * peer:.1f} ns", f"{ours / peer:.2f}", budget)
        for what, ours, peer, budget in rows
    ]
    title = f"Columns of {COLUMN:,} draws, for each; the peer is `Generator(Philox).random`"
    measuring.show(title, TITLES, texts)
    row = f"{1e9 * six / COLUMN:.0f} ns", f"{1e9 * listed / CALLS:.0f} ns"
    texts = [
        (
            "a row of that grid by `columns` against `params(i)`",
            *row,
            f"{six / COLUMN / (listed / CALLS):.3f}",
            "",
        )
    ]
    measuring.show("Rows of a grid of 6 axes", TITLES, texts)


def _column(source: ParameterSource) -> Callable[[], float]:
    return lambda: _seconds(source.columns)


# --- explicit cases ---------------------------------------------------------------------------


def _files(count: int = 1_000_000) -> None:
    """A frozen list of a million cases, opened as a task does."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        directory = Path(temporary)
        source = manual([{"i": i, "x": i / 7, "label": f"case {i}"} for i in range(count)])
        source.write_frozen(directory)
        described = source.to_frozen_dict()
        del source
        (read,) = measuring.medians(
            ROUNDS, lambda: _seconds(lambda: _one(described, directory, count))
        )
        tracemalloc.start()
        _one(described, directory, count)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        size = (directory / "cases.jsonl").stat().st_size
    texts = [
        ("time", f"{1e6 * read:.0f} µs", "1000 µs"),
        ("memory at its peak", f"{peak / 1e3:.0f} kB", "1000 kB"),
        ("size of the file", f"{size / 1e6:.0f} MB", ""),
    ]
    measuring.show(
        f"One of {count:,} explicit cases, the source opened for it",
        ("what", "found", "budget"),
        texts,
    )


def _one(described: dict[str, Any], directory: Path, count: int) -> object:
    return source_from_manifest_dict(described, directory)[count // 2 + 1]


def _each(call: Callable[[int], object]) -> float:
    """Seconds of one call."""

    def calls() -> None:
        for index in range(CALLS):
            call(index)

    return _seconds(calls) / CALLS


def _seconds(action: Callable[[], object]) -> float:
    """Seconds of the processor: the rest of the machine's work does not count."""
    begun = time.thread_time()
    action()
    return time.thread_time() - begun


def _show(title: str, rows: list[tuple[str, float, float, str]]) -> None:
    texts = [
        (what, f"{1e6 * ours:.1f} µs", f"{1e6 * peer:.1f} µs", f"{ours / peer:.2f}", budget)
        for what, ours, peer, budget in rows
    ]
    measuring.show(title, TITLES, texts)


if __name__ == "__main__":
    main()
