"""`python -m hpcsweep.results RUNNER RESULTS_DIR SUFFIX NOTED PARAMS`: make one result.

What a case of a cache's sweep is on a cluster. RUNNER is `file.py:function` or `module:function`;
NOTED and PARAMS are JSON: what is noted beside the result, and the params.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hpcsweep import target
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.results.maker import Maker, Runner
from hpcsweep.results.shelf import Case, Shelf


def main(argv: list[str]) -> None:
    """Make the result, unless it is there. *Raises* whatever the runner does: the case failed."""
    runner, results_dir, suffix, noted, params = argv
    make = Maker(_load(runner), Shelf(Path(results_dir), suffix))
    make(Case.of(json.loads(params)), json.loads(noted))


def _load(text: str) -> Runner:
    place, _, function = text.rpartition(":")
    file = place if place.endswith(".py") else None
    wanted = Target(file=file, module=None if file else place, function=function)
    root = str(Path.cwd())
    return target.load(FrozenManifest(name="runner", root=root, target=wanted, source={}))


if __name__ == "__main__":
    main(sys.argv[1:])
