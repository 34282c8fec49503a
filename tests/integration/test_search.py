"""A search on an emulated cluster: batch after batch by closing jobs, and what stops it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

import hpcsweep as hs
from hpcsweep.state.trials import SearchProgress
from tests.support.postgres import Place, database, postgres
from tests.support.small_site import CLI_S, GRACES, Site, site
from tests.support.wait import wait_until

__all__ = ["database", "postgres", "site"]  # fixtures are found by their names

# It counts its calls; where x is above 6, it has no result.
TARGET = """\
from pathlib import Path

def run(x, k):
    with (Path(__file__).parent / "calls").open("a") as stream:
        stream.write(f"{x}\\n")
    if x > 6:
        raise ValueError("too far")
    return {"energy": (x - 2.0) ** 2 + k, "steps": 3}
"""
MANIFEST = (
    "target: t.py:run\n"
    "source: {space: {x: {type: Uniform, low: -10, high: 10}, k: 1}}\n"
    "search: {objective: energy, n: 8, batch: 4}\n"
    "chunk: 4\n"
)


def progress(site: Site) -> SearchProgress:
    document: dict[str, Any] = json.loads(site.hpcsweep("status", "s", "--json"))
    return SearchProgress(**document["search"])


def wait_over(site: Site, trials: int) -> SearchProgress:
    def poll() -> SearchProgress | str:
        seen = progress(site)
        return seen if seen.over == trials else str(seen)

    return wait_until(poll, 90, f"{trials} trials", poll_s=0.3)


def rows(site: Site) -> list[dict[str, Any]]:
    text = site.hpcsweep("collect", "s", "--format", "jsonl")
    return [json.loads(line) for line in text.splitlines()]


def check_export(root: Path, energies: dict[int, float]) -> None:
    """A study has the trials once, however often it is made; another study is refused."""
    url, path = f"sqlite:///{root}/study.db", root / "outputs" / "s"
    for _ in range(2):
        hs.to_optuna(path, url)
    study = optuna.load_study(study_name="s", storage=url)
    assert [trial.user_attrs["hpcsweep case"] for trial in study.trials] == list(range(8))
    told = {n: trial.value for n, trial in enumerate(study.trials) if trial.value is not None}
    assert told == energies
    assert set(study.best_trial.params) == {"x"}
    assert study.trials[0].distributions["x"] == optuna.distributions.FloatDistribution(-10, 10)
    assert len(hs.to_optuna(path, str(root / "log"), objective="steps").trials) == 8
    with pytest.raises(hs.InputError, match="'s' does not maximize"):
        hs.to_optuna(path, url, direction="maximize")
    for attributes, what in (
        ({"hpcsweep case": 1}, "case 1 has other parameters there"),
        ({}, "it has trials that are not of this sweep"),
    ):
        other = optuna.create_study(study_name=what, storage=url)
        other.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=attributes))
        with pytest.raises(hs.InputError, match=what):
            hs.to_optuna(path, url, study_name=what)
    with pytest.raises(hs.InputError, match="cannot be used as an Optuna storage"):
        hs.to_optuna(path, "sqlite:////nowhere/study.db")


def test_closing_jobs_ask_batch_after_batch(site: Site) -> None:
    (site.root / "t.py").write_text(TARGET)
    manifest = site.manifest(MANIFEST)
    assert "4 cases" in site.hpcsweep("plan", manifest)
    assert "4 cases in 1 array task" in site.hpcsweep("submit", manifest)
    seen = wait_over(site, 8)
    found = rows(site)
    energies = {row["index"]: row["energy"] for row in found if row["status"] == "complete"}
    best = min(energies, key=energies.__getitem__)
    assert seen.best_case == best
    assert seen.best == pytest.approx(energies[best])
    assert (seen.valued, seen.problem) == (len(energies), "")
    assert f"search: 8 of 8 trials, best energy {energies[best]} at case {best}" in (
        site.hpcsweep("status", "s")
    )
    assert len((site.root / "calls").read_text().splitlines()) == len(found) == 8
    assert [plan["indices"] for plan in site.plans()] == [[[0, 4]], [[4, 8]]]
    check_export(site.root, energies)
    # More of them, by a user: the study is made of what is there.
    grown = site.manifest(MANIFEST.replace("n: 8", "n: 10"))
    site.hpcsweep("submit", grown, "--wait", code=0 if len(energies) == 8 else 9)
    assert [row["x"] for row in rows(site)[:8]] == [row["x"] for row in found]
    assert progress(site).over == 10
    refused = site.hpcsweep("submit", site.manifest(MANIFEST), code=5)
    assert "has 10 trials already, and n is 8" in refused
    other = site.manifest(MANIFEST.replace("low: -10", "low: -9"))
    assert "another one for its earlier trials: x" in site.hpcsweep("submit", other, code=5)
    assert progress(site).over == 10


def test_an_objective_that_no_case_has_stops_it_and_nothing_is_lost(site: Site) -> None:
    """With replicates: the value of a trial is their mean."""
    noisy = TARGET.replace("x > 6", "False").replace("(x, k)", "(x, k, rng)")
    (site.root / "t.py").write_text(noisy.replace("+ k", "+ rng.normal()"))
    of_two = MANIFEST.replace("n: 8, batch: 4", "n: 4, batch: 2") + "replicates: 2\n"
    wrong = site.manifest(of_two.replace("objective: energy", "objective: enrgy"))
    said = site.hpcsweep("submit", wrong, "--wait", code=9)
    why = "none of the last 2 trials has a finite number as 'enrgy': case 0 has energy, steps"
    assert why in said
    assert progress(site).problem == why
    assert f"s: {why}, so no more are sent" in site.hpcsweep("advance", "s")
    assert len(site.plans()) == 1
    said = site.hpcsweep("submit", site.manifest(of_two), "--wait")
    assert "8 complete of 8; 4 of 4 trials, best energy" in said
    assert len((site.root / "calls").read_text().splitlines()) == 8
    energies = [row["energy"] for row in rows(site)]
    means = [(one + other) / 2 for one, other in zip(energies[::2], energies[1::2], strict=True)]
    assert progress(site).best == pytest.approx(min(means))
    assert progress(site).best_case == 2 * means.index(min(means))


def test_a_sampler_that_raises_is_said_and_another_advance_goes_on(site: Site) -> None:
    waits = "    while not (Path(__file__).parent / 'go').exists(): time.sleep(0.02)\n    if False:"
    (site.root / "t.py").write_text("import time\n" + TARGET.replace("    if x > 6:", waits))
    (site.root / "own.py").write_text(
        "import optuna\nfrom pathlib import Path\n"
        "class Sampler(optuna.samplers.RandomSampler):\n"
        "    def sample_independent(self, study, *more):\n"
        "        if (Path(__file__).parent / 'bad').exists():\n"
        "            raise RuntimeError('no idea')\n"
        "        return super().sample_independent(study, *more)\n"
    )
    own = site.manifest(MANIFEST.replace("batch: 4", "batch: 4, sampler: own.py:Sampler"))
    (site.root / "bad").touch()
    said = site.hpcsweep("submit", own, code=4)
    assert "search.sampler, own.py:Sampler: the sampler raised RuntimeError: no idea" in said
    assert not (site.root / "outputs/s/submissions").exists()
    (site.root / "bad").unlink()
    site.hpcsweep("submit", own)
    (site.root / "bad").touch()
    (site.root / "go").touch()
    why = (
        "s stands still: the next batch of its search waits to be sent, and no closing job does it"
    )

    def stands_still() -> bool | str:
        shown = " ".join(site.hpcsweep("status", "s").split())
        return (why in shown and "no idea" in shown) or shown

    wait_until(stands_still, 90, "a closing job that fails")
    (site.root / "bad").unlink()
    assert "4 of 8 (4 complete)" in site.hpcsweep("submit", own, "--dry-run")
    assert "4 cases in" in site.hpcsweep("advance", "s")
    wait_over(site, 8)
    assert len((site.root / "calls").read_text().splitlines()) == 8


@pytest.mark.postgres
def test_a_cancelled_trial_is_told_as_a_failed_one(
    site: Site, database: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an index in PostgreSQL; the others end, and the search goes on."""
    waits = "    while not (Path(__file__).parent / 'go').exists(): time.sleep(0.02)\n    if False:"
    (site.root / "t.py").write_text("import time\n" + TARGET.replace("    if x > 6:", waits))
    text = MANIFEST.replace("chunk: 4", "chunk: 2")
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    manifest = site.manifest(f"{text}store: SWEEP_DATABASE\n")
    site.hpcsweep("submit", manifest)
    # Of the two cases of each task, one of the first task runs, and the second does not begin.
    assert "cancelled: 1 case" in site.hpcsweep("cancel", "s", "--cases", "1")
    assert "cancelled: 2 cases" in site.hpcsweep("cancel", "s", "--cases", "2,3")
    (site.root / "go").touch()
    seen = wait_over(site, 8)
    assert (seen.valued, seen.asked) == (5, 8)
    found = rows(site)
    assert [row["status"] for row in found] == ["complete", *["interrupted"] * 3, *["complete"] * 4]
    path = site.root / "outputs" / "s"
    study = hs.to_optuna(path, optuna.storages.InMemoryStorage())
    assert [trial.state.name for trial in study.trials[:4]] == ["COMPLETE", *["FAIL"] * 3]
    # They stay cancelled, whoever goes on.
    assert "nothing" in site.hpcsweep("advance", "s").lower()
    assert not (path / "store.sqlite3").exists()


def test_promoted_cases_without_a_checkpoint_are_counted(site: Site) -> None:
    (site.root / "t.py").write_text(
        "def run(x, epochs, checkpoint):\n"
        "    found = checkpoint.load()\n"
        "    if x > 0:\n"
        "        checkpoint.save({'epochs': epochs})\n"
        "    return {'energy': abs(x) + epochs, 'found': found is not None}\n"
    )
    halving = "{resource: epochs, max: 2, factor: 2}"
    manifest = site.manifest(
        "target: t.py:run\nsource: {space: {x: {type: Uniform, low: -1, high: 1}}}\n"
        f"search: {{objective: energy, n: 12, batch: 8, halving: {halving}}}\nchunk: 4\n"
    )
    said = site.hpcsweep("submit", manifest, "--wait")
    found = rows(site)
    promoted = [row for row in found if row["epochs"] == 2]
    assert [row["index"] for row in promoted] == [8, 9, 10, 11]
    assert [row["found"] for row in promoted] == [row["x"] > 0 for row in promoted]
    count = sum(not row["found"] for row in promoted)
    assert 0 < count < 4
    from_start = f"{count} promoted found no checkpoint and began from the start"
    assert f"at case 8; epochs 1: 8, 2: 4; {from_start}" in said
    # What no later trial can need goes; what was counted stays.
    site.hpcsweep("clean", "s")
    assert list((site.root / "outputs/s/checkpoints").glob("*.complete")) == []
    assert from_start in site.hpcsweep("status", "s")
    study = hs.to_optuna(site.root / "outputs/s", optuna.storages.InMemoryStorage())
    states = [trial.state.name for trial in study.trials]
    assert (states.count("COMPLETE"), states.count("PRUNED")) == (4, 4)
    assert study.best_value == found[8]["energy"]
    best = study.best_trial.intermediate_values
    assert best == pytest.approx({1: found[8]["energy"] - 1, 2: found[8]["energy"]})


PROGRAM = """\
import optuna

def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("twice", 2 * x)
    return (x - 2) ** 2 + (kind == "a")

if __name__ == "__main__":
    study = optuna.create_study(study_name="s", sampler=optuna.samplers.TPESampler(seed=3))
    study.optimize(objective, n_trials=6, n_jobs=1, show_progress_bar=False, catch=(ValueError,))
    best = min(trial.value for trial in study.trials)
    print(len(study.trials), sorted(study.best_params), study.best_value == best)
    print(all(trial.user_attrs["twice"] == 2 * trial.params["x"] for trial in study.trials))
"""


@pytest.mark.parametrize("imported", ["optuna", "hpcsweep.optuna as optuna"])
def test_a_program_for_optuna_runs_with_its_import_changed(site: Site, imported: str) -> None:
    program = site.root / "program.py"
    program.write_text(PROGRAM.replace("import optuna", f"import {imported}"))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=site.root,
        env=site.cluster.env(**GRACES),
        capture_output=True,
        text=True,
        check=False,
        timeout=CLI_S,
    )
    assert done.stdout == "6 ['kind', 'x'] True\nTrue\n", done.stderr
    assert (site.root / "outputs" / "s").exists() == (imported != "optuna")
