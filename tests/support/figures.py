"""Draw the figures of docs/how-to/figures.md: `python -m tests.support.figures`.

The commands are read from the page, and the metadata of each figure names the one that drew it.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from hpcsweep.cli.commands.plot import command
from hpcsweep.tables.plot import Origin, draw
from hpcsweep.tables.points import Axes

PAGE = Path(__file__).parents[2] / "docs/how-to/figures.md"
# A command of the page, and the figure that it draws.
EXAMPLE = re.compile(r"```sh\n(hpcsweep plot .*)\n```\n\n!\[[^]]*\]\((.*)\)")
PARAMS = ["omega", "dt", "method"]


def examples() -> dict[Path, str]:
    """The commands of the page, by their figure."""
    return {PAGE.parent / file: line for line, file in EXAMPLE.findall(PAGE.read_text())}


def rows() -> Iterator[dict[str, Any]]:
    """The cases that are drawn: a noisy oscillator, of which the steps that are too long fail."""
    axes = ((0.5, 1.0, 2.0, 3.0), (0.01, 0.03, 0.1), ("euler", "leapfrog"), range(5))
    for index, (omega, dt, method, replicate) in enumerate(product(*axes)):
        noise = math.sin(12.9898 * (index + 1)) * 0.2
        error = (omega * dt) * (1.0 if method == "euler" else 0.1)
        yield {
            "omega": omega,
            "dt": dt,
            "method": method,
            "replicate": replicate,
            "energy": 0.5 * omega**2 * (1 + error) + noise * omega,
            "status": "failed" if omega * dt > 0.25 else "complete",
        }


def axes_of(line: str) -> Axes:
    """What a command draws."""
    given = command.make_context("plot", shlex.split(line)[2:]).params
    names = {name: given[name] for name in ("kind", "y", "by", "band")}
    log = tuple(given["logs_of"].split(",")) if given["logs_of"] else None
    return Axes(x=given["x"] or "", log=log, title=given["sweep"], **names)


if __name__ == "__main__":
    for path, line in examples().items():
        some = (row for row in rows() if "--where" not in line or row["method"] == "euler")
        draw(some, axes_of(line), path, PARAMS, Origin(about=line))
