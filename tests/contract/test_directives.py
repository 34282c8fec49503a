"""Every text that is one line reaches Slurm through a directive as it is: emulated and real."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.cluster.slurm.text import directive
from tests.support.clusters import Cluster, cluster, emulated

__all__ = ["cluster", "emulated"]  # fixtures are found by their names

VALUES = [
    "plain",
    "a b",
    " a ",
    "it's",
    'q"q',
    "a#b",
    "# x",
    "a\\b",
    "a\\",
    "\\n",
    "a|b&c()[x-y]*2",
    "$(x)`y`$HOME",
    "%j %A",
    "Größe",
    "tab\there",
    "a=b",
    "--mem=1",
    "a;b",
    "!x",
    "{y}",
    ":x",
    "'both\"'",
    "a\u2028#SBATCH --uid=0",
    "x" * 1000,
]


def test_values_arrive_as_they_are(cluster: Cluster, tmp_path: Path) -> None:
    """All as comments, which Slurm keeps as they are."""
    jobs = {}
    path = tmp_path / "script.sh"
    for value in VALUES:
        path.write_text(f"#!/bin/sh\n#SBATCH {directive('comment', value)}\ntrue\n", "utf-8")
        jobs[value] = cluster.run("sbatch", "--parsable", "--hold", str(path)).strip()
    for value, job in jobs.items():
        shown = cluster.run("scontrol", "-o", "show", "job", job)
        assert f" Comment={value} " in shown, value
    cluster.run("scancel", *jobs.values())
