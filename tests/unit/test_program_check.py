"""The program of a command, as `submit` checks it before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.submission.check import _check_program
from tests.support.here import holds


def refusal(root: Path, monkeypatch: pytest.MonkeyPatch, *argv: str) -> str:
    """What a user is told about a command, whose program is searched from its manifest."""
    monkeypatch.chdir(root)
    manifest = FrozenManifest(name="s", root=str(root), target=Target(argv=argv), source={})
    with pytest.raises(TargetError) as caught:
        _check_program(manifest)
    return str(caught.value)


@pytest.mark.parametrize("line", ["sh sim.sh", "sh sim.sh --x {x}"])
def test_a_whole_command_line_as_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    message = refusal(tmp_path, monkeypatch, line, "{x}")
    holds(message, f"no program '{line}'", "each argument as an element, [sh, …]")


def test_a_program_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sim_beside").write_text("#!/bin/sh\n")
    (tmp_path / "sim_beside").chmod(0o755)
    message = refusal(tmp_path, monkeypatch, "sim_beside", "{x}")
    holds(message, "no program 'sim_beside'", "named with its directory: ./sim_beside")


def test_a_program_of_a_parameter_is_checked_by_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for program in ("./{x}", "./build of {x}/sim"):
        target = Target(argv=(program,))
        _check_program(FrozenManifest(name="s", root=str(tmp_path), target=target, source={}))
