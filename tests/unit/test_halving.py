"""Successive halving: its keys, the trials of a study, and the checkpoints of promoted cases."""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

import hpcsweep as hs
from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.files import make_directory
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Halving, Search
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import ParamCase
from hpcsweep.report.search_curve import curve
from hpcsweep.search.halving import awaited_checkpoints
from hpcsweep.search.study import ToldTrial, ask, optuna_trial, studied
from hpcsweep.search.versions import current_version, next_version, trial_params
from hpcsweep.state.trials import best_trials
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker import promoted
from hpcsweep.worker.promoted import copy_checkpoints
from tests.support.manifests import Write, mistakes, search_of, write
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

__all__ = ["mistakes", "write"]  # fixtures are found by their names

KEYS = "{resource: epochs, min: 1, max: 9, factor: 3}"
MANIFEST = (
    "name: s\ntarget: osc.py:run\n"
    "source: {space: {x: {type: Uniform, low: 0, high: 1}, k: 3}}\n"
    f"search: {{objective: loss, n: 12, batch: 4, halving: {KEYS}}}\n"
)
HALVING = Halving(resource="epochs", smallest=1, largest=9, factor=3)


def described(write: Write, text: str = MANIFEST) -> Version:
    return Version.of(*load_manifest(write(text)))


# --- the keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "to", "what"),
    [
        (KEYS, "9", "search.halving: is the number 9, not a mapping"),
        ("resource: epochs, ", "", "search.halving: the key 'resource' is missing"),
        ("max: 9, ", "", "search.halving: the key 'max' is missing. Write the largest budget"),
        ("factor: 3", "facto: 3", "search.halving.facto: unknown key. Did you mean 'factor'?"),
        ("min: 1", "min: 0", "search.halving.min: is 0. It must be 1 or more"),
        ("max: 9", "max: 9.5", "search.halving.max: is the number 9.5, not a whole number"),
        ("factor: 3", "factor: 1", "search.halving.factor: is 1. It must be 2 or more"),
        ("max: 9", "max: 1", "search.halving: has the max 1, which is not above the min 1"),
        ("max: 9", "max: 8", "has the max 8, which is none of the budgets: 1, and each 3 times"),
        ("max: 9", "max: 8", "Write max: 3 or max: 9."),
        ("max: 9", "max: 2", "Write max: 3."),
        ("resource: epochs", "resource: x", "halving.resource: is the text 'x', which the space"),
        ("resource: epochs", "resource: 3", "search.halving.resource: is the number 3"),
        ("resource: epochs", "resource: log", "no parameter can be called 'log'"),
    ],
)
def test_each_mistake_is_a_sentence(
    mistakes: Callable[..., list[str]], change: str, to: str, what: str
) -> None:
    assert change in MANIFEST
    found = mistakes(MANIFEST.replace(change, to))
    assert any(what in line for line in found), found


def test_a_manifest_says_what_it_means(write: Write) -> None:
    search = search_of(described(write))
    assert search.halving == HALVING
    assert HALVING.budgets == (1, 3, 9)
    assert search.space["epochs"] == {"type": "Constant", "value": 1}
    assert Search.from_json(json.loads(json.dumps(search.to_json()))) == search
    short = MANIFEST.replace("min: 1, max: 9, factor: 3", "max: 81")
    assert search_of(described(write, short)).halving == Halving(
        resource="epochs", smallest=1, largest=81, factor=3
    )
    without = search_of(described(write, MANIFEST.replace(f", halving: {KEYS}", "")))
    assert without.halving is None
    assert "halving" not in without.to_json()  # its manifest has the fingerprint that it had


# --- what is asked ------------------------------------------------------------------------------


def test_promotions_come_before_new_configurations(write: Write) -> None:
    first = current_version(described(write), None)
    asked = trial_params(first)
    assert [params["epochs"] for params in asked] == [1] * 4
    second = next_version(first, [4.0, 2.0, None, 3.0])
    promoted, *new = trial_params(second)[4:]
    assert promoted == asked[1] | {"epochs": 3}
    assert [params["epochs"] for params in new] == [1] * 3
    assert second.fingerprint == next_version(first, [4.0, 2.0, None, 3.0]).fingerprint
    # Of seven with a value two are promoted: one more than before.
    third = next_version(second, [4.0, 2.0, None, 3.0, 1.0, 5.0, 0.5, 6.0])
    assert trial_params(third)[8] == trial_params(second)[6] | {"epochs": 3}


def test_a_batch_of_promotions_alone_changes_the_seed_of_the_next(write: Write) -> None:
    text = MANIFEST.replace("batch: 4", "batch: 1").replace("n: 12", "n: 40")
    version = current_version(described(write, text), None)
    values: list[float | None] = [0.0]
    while len(trial_params(version)) < 20:
        version = next_version(version, values)
        values.append(float(len(values)))
    new = [params["x"] for params in trial_params(version) if params["epochs"] == 1]
    assert len(new) == len(set(new))
    assert len(new) < len(values)


def test_a_trial_of_a_study_has_the_values_of_all_rungs(write: Write) -> None:
    search = search_of(described(write))
    one, two, three = ({"x": x, "k": 3} for x in (0.25, 0.5, 0.75))
    cases = [
        *({**params, "epochs": 1} for params in (one, two, three)),
        {**one, "epochs": 3},
        {**two, "epochs": 3},
        {**one, "epochs": 9},
    ]
    found = studied(search, cases, [5.0, 6.0, 7.0, 4.0, None, 3.0])
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    trials = [optuna_trial(optuna, search, space, each) for each in found]
    states = optuna.trial.TrialState
    assert [trial.state for trial in trials] == [states.COMPLETE, states.FAIL, states.PRUNED]
    assert [trial.value for trial in trials] == [3.0, None, 7.0]
    assert trials[0].intermediate_values == {1: 5.0, 3: 4.0, 9: 3.0}
    assert trials[1].intermediate_values == {1: 6.0}
    told = [
        ToldTrial(params=params, value=value)
        for params, value in zip(cases, [5.0, 6.0, 7.0, 4.0, None, 3.0], strict=True)
    ]
    asked = ask(search, described(write).manifest, told, 2)
    assert [params["epochs"] for params in asked] == [1, 1]


@pytest.mark.parametrize(
    "change",
    [
        ("factor: 3", "factor: 9"),
        ("max: 9", "max: 3"),
        ("resource: epochs", "resource: steps"),
        (f", halving: {KEYS}", ""),
    ],
)
def test_other_rungs_are_refused(write: Write, change: tuple[str, str]) -> None:
    first = current_version(described(write), None)
    with pytest.raises(SweepError, match="another one for its earlier trials"):
        current_version(described(write, MANIFEST.replace(*change)), first)


def test_a_larger_budget_continues_a_search(write: Write) -> None:
    first = current_version(described(write), None)
    more = current_version(described(write, MANIFEST.replace("max: 9", "max: 27")), first)
    assert trial_params(more) == trial_params(first)


def test_the_python_door_passes_it_on(tmp_path: Path) -> None:
    halving = {"resource": "x", "max": 9}
    with pytest.raises(hs.ManifestError) as caught:
        hs.optimize(
            "s",
            {"x": hs.uniform(0, 1)},
            objective="loss",
            n=2,
            halving=halving,
            target="m:f",
            root=tmp_path,
        )
    assert any("halving.resource: is the text 'x'" in line for line in caught.value.mistakes)


def test_the_best_so_far_is_of_the_largest_budget(write: Write) -> None:
    search = search_of(described(write))
    budgets, values = [1, 1, 1, 3, 3, 1], [None, 2.0, 1.0, None, 5.0, 0.5]
    assert best_trials(search, budgets, values) == [None, 1, 2, 2, 4, 4]
    shown = curve(search, budgets, values, 2)
    assert shown["best"] == [None, 2.0, 1.0, 1.0, 5.0, 5.0]
    assert shown["index"] == [0, 2, 4, 6, 8, 10]
    highest = replace(search, direction="maximize")
    assert best_trials(highest, budgets, values) == [None, 1, 1, 1, 4, 4]
    many = curve(search, [1] * 3000, [float(at) for at in range(3000)], 1)
    assert (many["trials"], len(many["value"]), many["best"][0]) == (3000, 2000, 0.0)
    assert many["index"][0] == 1000


# --- checkpoints --------------------------------------------------------------------------------


RUNGS = {"resource": "epochs", "smallest": 1, "largest": 9, "factor": 3}


def case_of(params: dict[str, Any], replicate: int = 0) -> ParamCase:
    case_id = ids.case_id(params, replicate)
    return ParamCase(index=0, params=params, case_id=case_id, replicate=replicate)


def place(root: Path, epochs: int, replicate: int = 0) -> Path:
    """The checkpoints of a case."""
    return root / ids.case_id({"x": 0.5, "epochs": epochs}, replicate)


def begin(root: Path, epochs: int, replicate: int = 0) -> None:
    """What the worker does before the first start of a case."""
    case = case_of({"x": 0.5, "epochs": epochs}, replicate)
    deque(copy_checkpoints(RUNGS, case, place(root, epochs, replicate), lambda: False), maxlen=0)


def files_of(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*")
        if path.is_file()
    }


def saved(root: Path, epochs: int, replicate: int = 0) -> Path:
    """The checkpoints of a case that is complete."""
    path = place(root, epochs, replicate)
    retired = path.with_name(f".{path.name}.complete")
    (retired / "deep").mkdir(parents=True)
    (retired / "state.checkpoint").write_text(f"{epochs}")
    (retired / "deep" / "more").write_text("more")
    (retired / "latest").symlink_to("state.checkpoint")
    for path in (retired / "deep" / "more", retired / "deep"):
        os.utime(path, ns=(7, 7))
    return retired


def test_a_promoted_case_begins_from_a_copy(tmp_path: Path) -> None:
    source = saved(tmp_path, 1)
    begin(tmp_path, 3)
    own = place(tmp_path, 3)
    assert files_of(own) == files_of(source)
    assert (own / "latest").readlink() == Path("state.checkpoint")
    # A copy is no progress of a task, neither its files nor its directories.
    assert {path.stat().st_mtime_ns for path in (own / "deep", own / "deep" / "more")} == {7}
    # What it writes changes its own alone, also in place.
    with (own / "state.checkpoint").open("r+") as stream:
        stream.write("9")
    assert (source / "state.checkpoint").read_text() == "1"
    # Another attempt continues its own.
    begin(tmp_path, 3)
    assert (own / "state.checkpoint").read_text() == "9"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, own.name}


def test_a_copy_that_was_killed_is_made_again(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    own = place(tmp_path, 3)
    (tmp_path / f".{own.name}.0123456789abcdef").mkdir()
    begin(tmp_path, 3)
    assert (own / "state.checkpoint").read_text() == "1"


def test_a_copy_that_was_killed_leaves_no_mark_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, 3)  # finds none
    saved(tmp_path, 1)

    def killed_after_the_rename(path: Path) -> None:
        if path == tmp_path:
            raise KeyboardInterrupt

    monkeypatch.setattr(promoted, "fsync_path", killed_after_the_rename)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, 3)
    monkeypatch.undo()
    begin(tmp_path, 3)
    assert (place(tmp_path, 3) / "state.checkpoint").is_file()
    assert not list(tmp_path.glob("*.from_start"))


def test_a_replicate_continues_its_own_predecessor(tmp_path: Path) -> None:
    saved(tmp_path, 1, replicate=1)
    begin(tmp_path, 3, replicate=1)
    begin(tmp_path, 3)
    assert place(tmp_path, 3, replicate=1).is_dir()
    assert not place(tmp_path, 3).exists()


def test_one_without_a_predecessor_s_checkpoint_is_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "checkpoints"
    begin(root, 1)  # a new configuration has none
    assert not root.exists()
    begin(root, 3)
    begin(root, 3)
    own = place(root, 3)
    assert [path.name for path in root.iterdir()] == [f".{own.name}.from_start"]
    assert "which it continues, left no checkpoint; it begins from the start" in (
        capfd.readouterr().err
    )
    # A later attempt that finds one counts no more.
    saved(root, 1)
    begin(root, 3)
    assert not (root / f".{own.name}.from_start").exists()


def test_an_unfinished_retirement_is_found(tmp_path: Path) -> None:
    source = saved(tmp_path, 1).rename(place(tmp_path, 1))
    begin(tmp_path, 3)
    assert files_of(place(tmp_path, 3)) == files_of(source)


def test_a_copy_gives_way_after_each_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promoted, "SLICE", 4)
    source, own, stops = saved(tmp_path, 1), place(tmp_path, 3), iter([False, False, True])
    (source / "state.checkpoint").write_text("0123456789" * 4)
    case = case_of({"x": 0.5, "epochs": 3})
    steps = copy_checkpoints(RUNGS, case, own, lambda: next(stops))
    turns = [next(steps) for _ in range(3)]
    assert {turn.until for turn in turns} == {promoted.AT_ONCE}
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value is False
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
    begin(tmp_path, 3)
    assert files_of(own) == files_of(source)


def test_a_task_beats_and_ends_while_it_copies_a_large_checkpoint(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path,
        hs.manual([{"x": 0.5, "epochs": 3}]),
        python="def run(x, epochs, checkpoint):\n"
        "    return {'found': checkpoint.path('deep').is_dir()}\n",
        policies={"search": {"halving": RUNGS}},
    )
    made.plan(beat_s=0.05)
    source = saved(make_directory(made.path / "checkpoints"), 1)
    with (source / "large").open("wb") as stream:
        stream.truncate(2**31)
    with made.start() as task:
        wait_until(lambda: len(made.records("beat")) > 1, 60, "two beats of a task that copies")
        task.send_signal(signal.SIGTERM)
        assert task.wait(60) == 75
    end = made.ends()[0]
    assert (end["status"], end["reason"]) == ("interrupted", "terminated")
    assert "SIGTERM" in end["error"]["message"]
    assert [path.name for path in source.parent.iterdir()] == [source.name]
    (source / "large").unlink()
    made.run(restart=1)
    ends = [end for end in made.records("end") if "index" in end]
    metrics = [end["metrics"] for end in ends if end["status"] == "complete"]
    assert metrics == [{"found": True}]


def test_clean_keeps_what_a_later_trial_begins_from(write: Write) -> None:
    version = next_version(current_version(described(write), None), [4.0, 2.0, None, 3.0])
    every = {case.case_id for case in version.source}
    assert awaited_checkpoints(version, IndexSet()) == every
    # The second is promoted as the fifth, and is needed until that is complete.
    promoted = version.source[1].case_id
    assert awaited_checkpoints(version, IndexSet.of([4])) == every - {promoted}
    last = MANIFEST.replace("n: 12", "n: 8")
    whole = current_version(described(write, last), version)
    assert awaited_checkpoints(whole, IndexSet()) == {promoted}
    assert awaited_checkpoints(whole, IndexSet.of([4])) == frozenset()
