"""Files that never change are read once: on a network file system each open is a question."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.clusters import emulated
from tests.support.here import Here, here

__all__ = ["emulated", "here"]  # fixtures

# Run with the arguments of `hpcsweep` after it; prints how often each file was opened to be read.
COUNT_OPENS = """
import json, os, sys
from collections import Counter
opened = Counter()
def count(event, arguments):
    # What Python's own open() says again, before its opener does, has a mode.
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[1] is None:
        if arguments[2] & os.O_ACCMODE == os.O_RDONLY:
            opened[os.path.abspath(os.fsdecode(arguments[0]))] += 1
sys.addaudithook(count)
from hpcsweep.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(opened), file=sys.stderr)
"""
IMMUTABLE = re.compile(
    r".*/(manifests/[0-9a-f]{16}/(sweep\.json|cases\.idx)|submissions/\d+/(plan|part-.*)\.json)"
)


def opened(here: Here, *arguments: str) -> dict[str, int]:
    """How often a command opened each file that never changes, by path below the sweep."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT_OPENS, *arguments],
        cwd=here.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stderr.splitlines()[-1])
    root = f"{here.sweep}/"
    return {
        path.removeprefix(root): count for path, count in found.items() if IMMUTABLE.match(path)
    }


@pytest.mark.parametrize("source", ["grid: {x: [1, 2]}", "manual: [{x: 1}, {x: 2}]"])
def test_submit_and_collect(here: Here, source: str) -> None:
    manifest = f"name: s\ntarget: t.py:f\nsource: {{{source}}}\n"
    here.write("m.yaml", manifest)
    here.finishes()
    here.write("m.yaml", manifest.replace("2", "2, 3").replace("{x: 2, 3}", "{x: 2}, {x: 3}"))
    for arguments in (["submit", "m.yaml"], ["collect", "s"], ["status", "s"]):
        found = opened(here, *arguments)
        assert any(path.endswith("plan.json") for path in found), found
        assert {path: count for path, count in found.items() if count > 1} == {}, arguments
    here.tasks_end()
