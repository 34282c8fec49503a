"""`branches:` in a manifest, and what its cases give a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpcsweep import target, yamltext
from hpcsweep.errors import ManifestError, SourceError
from hpcsweep.manifest.model import json_schema
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import branches, grid
from hpcsweep.tables.sweep_cases import named_sweeps

HEAD = 'name: x\ncommand: [prog, "{params_json}"]\nsource:\n'
Load = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads the YAML of a source: the params of its cases."""

    def params_of(source: str) -> list[dict[str, Any]]:
        path = tmp_path / "m.yaml"
        path.write_text(HEAD + source)
        return [case.params for case in load_manifest(path)[1]]

    return params_of


def test_branches_in_a_manifest(load: Load) -> None:
    source = """
  product:
    - grid: {seed_: [1, 2]}
    - branches:
        model:
          svm: {grid: {C: [1, 10]}, where: "C > 1"}
          deep:
            branches: {depth: {one: {}, more: {manual: [{n: 2}, {n: 3}], fixed: {w: 4}}}}
          mean:
"""
    of_models: list[dict[str, Any]] = [
        {"C": 10, "model": "svm"},
        {"depth": "one", "model": "deep"},
        {"n": 2, "w": 4, "depth": "more", "model": "deep"},
        {"n": 3, "w": 4, "depth": "more", "model": "deep"},
        {"model": "mean"},
    ]
    document = yamltext.document(HEAD + source, "m.yaml").value
    Draft202012Validator(json_schema()).validate(document)
    assert load(source) == [{"seed_": s, **params} for s in (1, 2) for params in of_models]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("branches: [1]", "4: source.branches: is a list, not one parameter with its branches"),
        ("branches: {}", "not one parameter with its branches. Write, for example, branches: {mod"),
        ("branches: {a: {b: {}}, c: {d: {}}}", "not one parameter with its branches"),
        ("branches: {a: 5}", "not one parameter with its branches"),
        ("branches: {a: {b: 5}}", "source.branches.a.b: is the number 5, not a mapping"),
        ("branches: {a: {b: {gird: {}}}}", "source.branches.a.b.gird: "),
        ("branches: {a: {b: {grid: {a: [1]}}}}", "has the parameter 'a' already"),
        ("branches: {seed: {b: {}}}", "no parameter can be called 'seed'"),
        ("branches: {a: {b: {}}}\n  grid: {c: [1]}", "has grid and branches, not one of them"),
    ],
)
def test_a_mistake_in_branches(load: Load, source: str, message: str) -> None:
    with pytest.raises(ManifestError) as error:
        load(f"  {source}\n")
    assert message in str(error.value)


def test_the_cases_of_another_sweep_in_a_branch() -> None:
    source = {"product": [{"branches": {"m": {"a": {"sweep": "s"}, "b": {}}}}, {"grid": {}}]}
    path = ("source", "product", 0, "branches", "m", "a")
    assert list(named_sweeps(source)) == [(path, {"sweep": "s"})]


def test_branches_in_python() -> None:
    source = branches("model", {"svm": grid(C=[1, 10]), "mean": grid()})
    assert [case.params for case in source] == [
        {"C": 1, "model": "svm"},
        {"C": 10, "model": "svm"},
        {"model": "mean"},
    ]
    assert source.where("model == 'mean' or C > 1").n_cases == 2
    with pytest.raises(SourceError, match="is not a mapping of branches"):
        branches("model", {})


@pytest.mark.parametrize(
    ("argv", "filled"),
    [
        (["p", "--C={C}", "--depth={depth}"], ("p", "--C=1")),
        (["p", "--range={C}:{depth}", "-q"], ("p", "-q")),
        (["p", "--depth", "{depth}", "{C}"], ("p", "--depth", "", "1")),
        (["p", "depth={depth},C={C}"], ("p", "depth=,C=1")),
    ],
)
def test_a_command_of_a_case_without_a_parameter(argv: list[str], filled: tuple[str, ...]) -> None:
    assert target.command_line(argv, {"C": 1}, {}, {}) == filled
