"""Cases that used more memory than they asked for, on a cluster that let them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.records import Resources, Status
from hpcsweep.runs.memory import MemoryExcess, memory_excess
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

MB = 1 << 20
TARGET = """\
def run(mb):
    held = bytearray(mb << 20)
    if mb == 90: raise ValueError("no good")
    return {"y": len(held)}
"""


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """A case of more than 300 MB, a failed one of more than 90, a small one; 50 MB were asked."""
    resources = Resources(options={"mem": "50M"})
    sweep = MadeSweep(tmp_path, grid(mb=[1, 90, 300]), python=TARGET, resources=resources)
    sweep.plan()
    sweep.run()
    return sweep


def say(made: MadeSweep, *arguments: str) -> str:
    done = CliRunner().invoke(main, [arguments[0], str(made.path), *arguments[1:]])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_status_and_logs_tell_of_it(made: MadeSweep) -> None:
    found = json.loads(say(made, "status", "--json"))["memory_excess"]
    assert found["requested_bytes"] == 50 * MB
    assert 300 * MB < found["used_bytes"] < 400 * MB
    assert json.loads(say(made, "logs", "2", "--json"))["memory_excess"] == found
    used = f"{found['used_bytes'] / MB:.0f} MiB"
    text = f"used {used}, asked for 50 MiB: the cluster does not enforce it"
    assert f"memory: the largest complete case {text}\n" in say(made, "status")
    assert f"memory: {text}\n" in say(made, "logs", "2")


@pytest.mark.parametrize("case", ["0", "1"])
def test_others_have_no_remark(made: MadeSweep, case: str) -> None:
    assert "memory" not in say(made, "logs", case)
    assert json.loads(say(made, "logs", case, "--json"))["memory_excess"] is None


def test_a_sweep_that_asked_for_enough_or_for_nothing(tmp_path: Path) -> None:
    for name, options in (("enough", {"mem": "1G"}), ("nothing", {})):
        (tmp_path / name).mkdir()
        resources = Resources(options=options)
        made = MadeSweep(tmp_path / name, grid(mb=[60]), python=TARGET, resources=resources)
        made.plan()
        made.run()
        assert json.loads(say(made, "status", "--json"))["memory_excess"] is None
        assert "memory" not in say(made, "status")


def test_what_is_not_known_is_no_excess() -> None:
    asked = Resources(options={"mem": "50M"})
    assert memory_excess(Status.COMPLETE, asked, None) is None
    assert memory_excess(Status.COMPLETE, Resources(), 1 << 40) is None
    assert memory_excess(Status.COMPLETE, asked, 52 * MB) is None  # shared pages
    assert memory_excess(Status.COMPLETE, asked, 56 * MB) is not None
    assert memory_excess(Status.FAILED, asked, 1 << 40) is None


def test_the_texts() -> None:
    assert MemoryExcess(used_bytes=3 << 30, requested_bytes=500 * MB).text == (
        "used 3.0 GiB, asked for 500 MiB: the cluster does not enforce it"
    )
