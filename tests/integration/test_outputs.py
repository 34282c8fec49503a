"""Where a sweep directory is: beside its manifest, from whatever directory it is submitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep.database.find import find_sweep
from hpcsweep.sweepdir.locate import place_of
from hpcsweep.sweepdir.version import Version
from tests.support import clusters
from tests.support import here as here_module
from tests.support.here import GOOD, TARGET, Here, holds

emulated = clusters.emulated
here = here_module.here


@pytest.fixture
def apart(here: Here) -> Here:
    """A user whose manifest is in `project/`, and who is in another directory."""
    here.write("project/m.yaml", GOOD)
    here.write("project/t.py", TARGET)
    return here


def test_every_command_finds_the_sweep_beside_its_manifest(apart: Here) -> None:
    apart.does("submit", "project/m.yaml", "--cluster", "emulated", "--wait")
    assert (apart.path / "project/outputs/s/sweep.json").is_file()
    assert not (apart.path / "outputs").exists()
    for sweep in ("project/m.yaml", "project", "project/outputs/s"):
        assert json.loads(apart.does("status", sweep, "--json"))["counts"]["complete"] == 2
    holds(apart.refuses(5, "status", "s"), "there is no sweep 's'")
    apart.patch.chdir(apart.path / "project")
    assert json.loads(apart.does("status", "s", "--json"))["complete"]
    assert "nothing to submit" in apart.does("submit", "m.yaml", "--cluster", "emulated")
    apart.patch.chdir("/")
    opened = hs.Sweep(manifest=apart.path / "project/m.yaml")
    assert opened.path == apart.path / "project/outputs/s"
    assert opened.status().is_complete


def test_a_second_stage_finds_the_first_beside_it(apart: Here) -> None:
    apart.does("submit", "project/m.yaml", "--cluster", "emulated", "--wait")
    apart.write("project/n.yaml", "name: n\ntarget: t.py:f\nsource: {sweep: s, columns: [x]}\n")
    assert "2 cases" in apart.does("validate", "project/n.yaml")
    apart.does("plan", "project/n.yaml")
    # A directory of a project that is named where a database is meant is none of its sweep.
    assert find_sweep("project", "") is None
    assert find_sweep("project/outputs/s", "") is not None


def test_a_sweep_in_the_old_place_goes_on_there(apart: Here) -> None:
    apart.does(
        "submit", "project/m.yaml", "--cluster", "emulated", "--wait", "--outputs", "outputs"
    )
    done = apart.cli("submit", "project/m.yaml", code=0)
    assert done.stdout == "s: nothing to submit, 2 complete\n"
    notice = "s goes on in outputs/s, where it was begun, and not in project/outputs/s"
    assert notice in done.stderr
    assert notice in apart.cli("status", "project/m.yaml", code=0).stderr
    assert not (apart.path / "project/outputs").exists()
    notices: list[str] = []
    hs.Sweep(manifest="project/m.yaml", cluster="emulated").submit(notify=notices.append)
    assert notice in notices


def test_the_sweep_of_another_manifest_in_the_old_place_is_left_alone(apart: Here) -> None:
    apart.does("submit", "m.yaml", "--cluster", "emulated", "--wait")
    done = apart.cli("plan", "project/m.yaml", code=0)
    assert "outputs/s is the sweep of another manifest" in done.stderr
    assert "2 of 2" in done.stdout


def test_a_place_that_the_user_names_is_relative_to_the_current_directory(apart: Here) -> None:
    apart.patch.setenv("HPCSWEEP_OUTPUTS", "mine")
    assert hs.Sweep(manifest="project/m.yaml").path == Path("mine/s")
    holds(apart.refuses(5, "status", "project/m.yaml"), "mine: there is no sweep 's'")


def test_beside_a_manifest_that_is_read_only_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name != "project")
    place = place_of("s", Path("project"))
    assert place.path == Path("outputs/s")
    assert place.notice == "s is in outputs/s: you may not write in project"


def test_a_run_goes_where_the_sweep_of_such_a_manifest_is(apart: Here) -> None:
    places: list[Path] = []

    def become(_version: Version, _index: int, outputs: Path, *_: Any, **_more: Any) -> None:
        places.append(outputs)

    apart.patch.setattr("hpcsweep.submission.local_run.become_run", become)
    apart.patch.setattr("os.access", lambda path, _: Path(path).name != "project")
    said = apart.cli("run", "project/m.yaml", "--index", "0", code=0).stderr
    assert "s is in outputs/s: you may not write in project" in said
    assert places == [Path("outputs")]
