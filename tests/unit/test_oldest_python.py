"""What a task needs runs in the oldest interpreter that a manifest may name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import hpcsweep as hs
from hpcsweep.worker.launcher import OLDEST_PYTHON
from tests.support.pythons import other_python
from tests.support.task_files import TASK_FILES

REPOSITORY = Path(__file__).parents[2]
IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # a library that tasks do without
        if error.name.startswith("hpcsweep"):
            raise
"""
CASES = """
import json, pathlib, sys
from hpcsweep.sources import source_from_manifest_dict
for text in sys.argv[1:]:
    source = source_from_manifest_dict(json.loads(text), pathlib.Path())
    print(json.dumps([[source[i].case_id, source[i].params] for i in range(source.n_cases)]))
"""
# One of each kind that describes itself in a few lines.
SPACE = {"a": hs.normal(0, 1), "b": hs.loguniform(1, 10), "c": hs.choice([1, 2])}
SOURCES = [
    hs.grid(x=[1, 2.5, "a"], y=hs.arange(0, 0.3, 0.1)).repeat(2),
    hs.random(SPACE, 5, seed=3),
    hs.design("sobol", SPACE, 4, seed=1),
    hs.design("latin_hypercube", SPACE, 5, seed=1),
    hs.grid(x=[1, 2]) * hs.manual([{"y": 1}, {"y": 2}]),
    hs.zip_(hs.grid(a=[1, 2]), hs.grid(b=[3, 4])),
]


def run(script: str, *arguments: str) -> str:
    """What a script prints in the oldest Python, which has nothing but our package."""
    python = other_python(".".join(map(str, OLDEST_PYTHON)))
    environment = {"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    argv = [str(python), "-s", "-c", script, *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_tasks_may_import_can_be_imported() -> None:
    names = (".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in TASK_FILES)
    run(IMPORTS, *(name.removesuffix(".__init__") for name in names))


def test_the_version_needs_no_installation() -> None:
    assert run("import hpcsweep; print(hpcsweep.__version__)") == f"{hs.__version__}\n"


def test_cases_are_the_same() -> None:
    # A task reads what a condition keeps, and evaluates nothing.
    filtered = hs.grid(a=[1, 2, 3], b=[1, 2, 3], c=[1, 2]).where("a < b and c > 1")
    described = [json.dumps(source.to_manifest_dict()) for source in SOURCES]
    lines = run(CASES, *described, json.dumps(filtered.to_frozen_dict())).splitlines()
    assert [json.loads(line) for line in lines] == [
        [[case.case_id, case.params] for case in source] for source in [*SOURCES, filtered]
    ]
