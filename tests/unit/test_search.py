"""A search: its keys, its distributions, what it asks, and the versions that it makes."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import hpcsweep as hs
import hpcsweep.optuna as ported
from hpcsweep.errors import ExtraMissing, SweepError, TargetError
from hpcsweep.foreign.optuna_studies import rule_of
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest import search_keys
from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.policies import SAMPLERS, Search
from hpcsweep.manifest.user import load_manifest
from hpcsweep.search.distributions import optuna_distributions
from hpcsweep.search.export import space_of
from hpcsweep.search.study import ToldTrial, ask, batch_seed
from hpcsweep.search.versions import current_version, next_version, trial_params
from hpcsweep.state.index_order import in_order_of
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker.trial import with_trial
from tests.support.manifests import Write, mistakes, search_of, write

__all__ = ["mistakes", "write"]  # fixtures are found by their names

SPACE = "{x: {type: Uniform, low: 0, high: 1}, k: 3}"
MANIFEST = (
    f"name: s\ntarget: osc.py:run\nsource: {{space: {SPACE}}}\n"
    "search: {objective: energy, n: 10, batch: 4}\n"
)
# Every distribution that can be searched, as its manifest dict.
RULES: dict[str, dict[str, Any]] = {
    "a": {"type": "Uniform", "low": -1.0, "high": 2.0},
    "b": {"type": "LogUniform", "low": 1e-5, "high": 0.1},
    "c": {"type": "QUniform", "low": 0.0, "high": 1.0, "step": 0.25},
    "d": {"type": "RandInt", "low": 1, "high": 8},
    "e": {"type": "LogUniformInt", "low": 1, "high": 1000},
    "f": {"type": "Choice", "options": ["adam", "sgd", None, 3]},
}


def described(write: Write, text: str = MANIFEST) -> Version:
    return Version.of(*load_manifest(write(text)))


# --- the keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("objective: energy, ", ""), "search: the key 'objective' is missing"),
        (("n: 10, ", ""), "search: the key 'n' is missing"),
        (("n: 10", "n: 0"), "search.n: is 0"),
        (("batch: 4", "batches: 4"), "search.batches: unknown key. Did you mean 'batch'?"),
        (("batch: 4", "direction: up"), "search.direction: is the text 'up'"),
        (("batch: 4", "sampler: tpi"), "search.sampler: is the text 'tpi', an unknown sampler"),
        (("batch: 4", "sampler: cmaes"), "is cmaes, which keeps a state that the results"),
        (("batch: 4", "sampler: {name: tpe, seed: 1}"), "has a seed of its own. Remove it"),
        (("batch: 4", "sampler: none.py:make"), "search.sampler: there is no file 'none.py'"),
        (("space: " + SPACE, "grid: {x: [1]}"), "source: is not a space alone, and a search finds"),
        (("Uniform, low: 0, high: 1", "Normal, mean: 0, std: 1"), "source.space.x: is Normal, for"),
        (("low: 0", "low: 2"), "source.space.x"),
        ((SPACE, "{k: 3}"), "source.space: has no distribution, so there is nothing to search"),
        ((SPACE, "{x: {type: Choice, options: [[1], 2]}}"), "has an option that is a list"),
        (("search: {objective: energy, n: 10, batch: 4}\n", ""), "source.space: unknown key"),
    ],
)
def test_each_mistake_is_a_sentence(
    mistakes: Callable[..., list[str]], change: tuple[str, str], what: str
) -> None:
    assert change[0] in MANIFEST
    found = mistakes(MANIFEST.replace(*change))
    assert any(what in line for line in found), found


def test_a_manifest_says_what_it_means(write: Write) -> None:
    text = MANIFEST.replace("batch: 4", "batch: 40, sampler: {name: tpe, multivariate: true}")
    search = search_of(described(write, text))
    assert (search.n, search.batch, search.direction) == (10, 10, "minimize")
    assert (search.sampler, search.options) == ("tpe", {"multivariate": True})
    assert search.space["k"] == {"type": "Constant", "value": 3}
    document = search.to_json()
    assert Search.from_json(json.loads(json.dumps(document))) == search


# --- distributions ------------------------------------------------------------------------------


def test_distributions_map_both_ways() -> None:
    made = optuna_distributions(optuna, RULES | {"g": {"type": "Constant", "value": 1}})
    back = {
        name: rule_of(json.loads(optuna.distributions.distribution_to_json(one)))
        for name, one in made.items()
    }
    assert back == RULES
    assert {rule["type"] for rule in RULES.values()} == set(search_keys.SEARCHED)


def test_an_option_twice_is_one_category() -> None:
    made = optuna_distributions(optuna, {"x": {"type": "Choice", "options": [1, 2, 1]}})
    assert made["x"].choices == (1, 2)


# --- what is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [*SAMPLERS, "mine.py:make"])
def test_what_is_asked_follows_from_the_results(write: Write, sampler: str) -> None:
    path = write(MANIFEST)
    text = "import optuna\ndef make(seed): return optuna.samplers.TPESampler(seed=seed)\n"
    (path.parent / "mine.py").write_text(text)
    version = described(write, MANIFEST.replace("batch: 4", f"sampler: {sampler}"))
    search, manifest = search_of(version), version.manifest
    told = [ToldTrial(params={"x": n / 20, "k": 3}, value=(n - 9.0) ** 2) for n in range(20)]
    told[3] = replace(told[3], value=None)
    asked = ask(search, manifest, told, 3)
    assert asked == ask(search, manifest, told, 3)
    assert all(one["k"] == 3 and 0 <= one["x"] <= 1 for one in asked)
    assert ask(search, replace(manifest, seed=1), told, 3) != asked
    assert ask(search, manifest, told[:19], 3) != asked
    assert batch_seed(0, 20) != batch_seed(0, 19)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("def make(seed): raise KeyError('no')", "the sampler raised KeyError: 'no'"),
        ("def make(): pass", "the sampler raised TypeError: make()"),
        ("def make(seed): return 3", "returned a int, not a sampler of Optuna"),
        ("import nothing_like_it", "the sampler cannot be imported: ModuleNotFoundError"),
        ("import optuna\nmake = optuna.samplers.CmaEsSampler", "CmaEsSampler keeps a state"),
    ],
)
def test_what_a_sampler_raises_is_said(write: Write, code: str, what: str) -> None:
    path = write(MANIFEST)
    # A module is imported once in a process.
    name = f"sampler_{abs(hash(code))}"
    (path.parent / f"{name}.py").write_text(code + "\n")
    version = described(write, MANIFEST.replace("batch: 4", f"sampler: {name}.py:make"))
    with pytest.raises(TargetError, match=re.escape(what)):
        ask(search_of(version), version.manifest, [], 2)


def test_without_optuna_the_extra_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ExtraMissing, match="a search needs optuna") as caught:
        current_version(described(write), None)
    assert "pip install 'hpcsweep[optuna]'" in str(caught.value)


# --- the versions -------------------------------------------------------------------------------


def frozen_in(sweep: SweepDirectory, version: Version) -> Version:
    sweep.freeze(version)
    return SweepDirectory.open(sweep.path).version(version.fingerprint)


def test_each_batch_extends_the_version_before(write: Write, tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    first = frozen_in(sweep, current_version(described(write), None))
    assert (first.source.n_cases, first.cases_to_come) == (4, 6)
    second = frozen_in(sweep, next_version(first, [1.0, None, 2.0, 3.0]))
    third = frozen_in(sweep, next_version(second, [1.0, None, 2.0, 3.0, *[0.5] * 4]))
    assert (third.source.n_cases, third.cases_to_come) == (10, 0)
    assert trial_params(third)[:8] == trial_params(second)
    assert [case.case_id for case in third.source][:4] == [case.case_id for case in first.source]
    assert third.manifest.extends(first.manifest)
    assert third.manifest.extends(second.manifest)
    assert not first.manifest.extends(third.manifest)
    some = IndexSet.of([1, 3])
    assert in_order_of(third, sweep, first.fingerprint, [some]) == [some]
    # The same results lead to the same version, whoever asks, however often.
    assert next_version(first, [1.0, None, 2.0, 3.0]).fingerprint == second.fingerprint
    other = current_version(described(write, f"{MANIFEST}seed: 1\n"), None)
    assert not next_version(other, [0.0] * 4).manifest.extends(first.manifest)


def test_a_user_goes_on_with_what_is_there(write: Write, tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    first = frozen_in(sweep, current_version(described(write), None))
    assert current_version(described(write), first).fingerprint == first.fingerprint
    more = current_version(described(write, MANIFEST.replace("n: 10", "n: 30")), first)
    assert trial_params(more) == trial_params(first)
    assert more.cases_to_come == 26
    assert more.manifest.extends(first.manifest)
    with pytest.raises(SweepError, match="has 4 trials already, and n is 3"):
        current_version(described(write, MANIFEST.replace("n: 10", "n: 3")), first)
    with pytest.raises(SweepError, match="another one for its earlier trials: x"):
        current_version(described(write, MANIFEST.replace("high: 1", "high: 2")), first)


def test_a_case_may_be_asked_twice(write: Write, tmp_path: Path) -> None:
    text = MANIFEST.replace("{type: Uniform, low: 0, high: 1}", "{type: Choice, options: [1, 2]}")
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    first = frozen_in(sweep, current_version(described(write, text), None))
    assert len({case.case_id for case in first.source}) <= 2 < first.source.n_cases


def test_replicates_of_a_trial_have_the_same_params(write: Write) -> None:
    version = current_version(described(write, f"{MANIFEST}replicates: 3\n"), None)
    assert (version.source.n_cases, version.cases_to_come) == (12, 18)
    assert len(trial_params(version)) == 4
    assert version.source.params(0) == version.source.params(2) == trial_params(version)[0]


def test_a_target_of_a_sampler_survives_the_freeze() -> None:
    search = Search(
        objective="e", space={}, n=2, batch=1, sampler="", target=Target(module="m", function="f")
    )
    assert Search.from_json(json.loads(json.dumps(search.to_json()))) == search


# --- the Python door ----------------------------------------------------------------------------


def test_the_smallest_space_that_has_some_cases() -> None:
    cases = [{"a": 1, "b": 1, "c": "x", "d": [1]}, {"a": 3, "b": 2.5, "c": True, "d": [2]}]
    assert space_of(cases) == {
        "a": {"type": "RandInt", "low": 1, "high": 3},
        "b": {"type": "Uniform", "low": 1, "high": 2.5},
        "c": {"type": "Choice", "options": ["x", True]},
        "d": {"type": "Choice", "options": ["[1]", "[2]"]},
    }


def test_a_sampler_object_is_refused(tmp_path: Path) -> None:
    sampler = optuna.samplers.TPESampler(seed=1)
    space = {"x": hs.uniform(0, 1)}
    with pytest.raises(hs.InputError, match="is an object of this process"):
        hs.optimize("s", space, objective="e", n=2, sampler=sampler, target="m:f", root=tmp_path)


def test_a_distribution_of_optuna_that_is_unknown_here_is_refused(tmp_path: Path) -> None:
    space = {"n": optuna.distributions.IntDistribution(0, 1_000_000, step=2)}
    with pytest.raises(hs.InputError, match="there is no such distribution: IntDistribution"):
        hs.optimize("s", space, objective="e", n=2, target="m:f", root=tmp_path)


def test_explicit_cases_grow_at_their_end() -> None:
    grown = hs.manual([{"a": 1}], tags=["t"]).append([{"a": 2}])
    assert [case.params["a"] for case in grown] == [1, 2]
    assert grown[1].tags[0] == "t"
    with pytest.raises(hs.SourceError, match="are the same"):
        grown.append([{"a": 1}])


# --- programs for Optuna ------------------------------------------------------------------------


def test_a_target_with_a_trial_takes_its_parameters() -> None:
    def objective(trial: Any, log: Any, y: int = 0) -> float:
        trial.set_user_attr("seen", trial.number)
        trial.report(1.0, step=1)
        assert not trial.should_prune()
        x = trial.suggest_float("x", 0, 1, log=False)
        n, c = trial.suggest_int("n", 1, 3), trial.suggest_categorical("c", ["", "ab"])
        return float(x + n + len(c) + y + (log is None))

    run = with_trial(objective)
    assert list(inspect.signature(run).parameters) == ["params", "case", "log", "y"]
    given = {"params": {"x": 0.5, "n": 2, "c": "ab"}, "case": SimpleNamespace(index=7), "log": None}
    assert run(**given) == {"seen": 7, "value": 5.5}
    with pytest.raises(hs.InputError, match="suggests 'n', which is no parameter of this search"):
        run(**{**given, "params": {"x": 0.5}})


def test_a_target_without_a_trial_stays_as_it_is() -> None:
    assert with_trial(space_of) is space_of


def test_a_study_says_what_it_cannot_do() -> None:
    with pytest.raises(hs.InputError, match="a study on a cluster takes no timeout"):
        ported.create_study().optimize(lambda _: 0.0, n_trials=2, timeout=60)
    with pytest.raises(hs.InputError, match="a study on a cluster takes no storage"):
        ported.create_study(storage="sqlite:///x.db")
    with pytest.raises(AttributeError, match="call optimize first"):
        _ = ported.create_study().best_value
    assert ported.samplers.TPESampler(seed=1) == {"name": "optuna.samplers:TPESampler", "seed": 1}
    assert ported.TrialPruned is optuna.TrialPruned
