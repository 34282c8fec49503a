"""Directories that programs leave and that are hard to remove: they cost their own case at most."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from hpcsweep.files import remove_tree
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.unpack import unpack
from hpcsweep.sources import manual
from tests.support.sweeps import MadeSweep

# A path of 4,500 characters, of which the kernel takes 4,096; each case counts what it finds.
DEEP = """\
import json, os, sys
os.chdir(os.environ["HPCSWEEP_RUN_DIR"])
found = [name for name in os.listdir() if not name.startswith("std")]
with open("metrics.json", "w") as stream:
    json.dump({{"found": found}}, stream)
for _ in range(50 if sys.argv[1] == "1" else 0):
    os.mkdir("d" * 90)
    os.chdir("d" * 90)
"""
NOBODY = 65534


def test_a_tree_that_is_too_deep_costs_its_own_case(tmp_path: Path) -> None:
    cases = manual([{"x": 1}, {"x": 2}])
    made = MadeSweep(tmp_path, cases, argv=[sys.executable, "-c", DEEP, "{x}"])
    made.plan(runs="packed")
    made.run()
    ends = made.ends()
    assert ends[0]["error"]["message"].startswith("its run directory is spoiled")
    assert (ends[1]["status"], ends[1]["metrics"]) == ("complete", {"found": []})


def test_directories_without_write_permission_are_removed() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o777)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(NOBODY)
                tree = Path(place, "tree")
                (tree / "cache").mkdir(parents=True)
                (tree / "cache" / "module.go").touch()
                (tree / "cache").chmod(0o500)
                (tree / "closed").mkdir(0)
                remove_tree(tree)
                os._exit(int(tree.exists()))
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_name_that_cannot_be_unpacked_costs_its_own_case(tmp_path: Path) -> None:
    cases = manual([{"x": 1}, {"x": 2}])
    program = (
        "import os, sys; name = 'a' if sys.argv[1] == '2' else 'a\\n'; "
        "open(os.path.join(os.environ['HPCSWEEP_RUN_DIR'], name), 'w')"
    )
    made = MadeSweep(tmp_path, cases, argv=[sys.executable, "-c", program, "{x}"])
    made.plan(runs="packed")
    made.run()
    report = DamageReport()
    (unpacked,) = unpack(made.directory, report)
    assert (unpacked / "a").is_file()
    assert report.lost["damaged"] == 1
    assert "unprintable" in report.named[0]
    assert [path for path in unpacked.parent.iterdir() if ".unpacking" in path.name] == []
