"""References of the user's own: derived parameters, distributions, sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpcsweep import ids
from hpcsweep.errors import IdentityError
from hpcsweep.sources import (
    ParameterSource,
    custom,
    custom_source,
    grid,
    random,
    source_from_manifest_dict,
    uniform,
    zip_,
)
from hpcsweep.sources.distributions import distribution
from tests.support.sourcing import refused

MODULE = """\
def double(params):
    return {**params, "y": 2 * params["x"]}

def keep(params):
    return params

def spoil(params):
    params["x"].append(1)
    return {"n": len(params["x"])}

def wrong(params):
    return 5

def bad_name(params):
    return {"seed": 1}

def unwritable(params):
    return {"x": {1, 2}}

def failing(params):
    raise RuntimeError("no luck")

number = 5

class Triangle:
    def __init__(self, low, high):
        self.low, self.high = low, high

    def ppf(self, u):
        return self.low + (self.high - self.low) * u * u

square = Triangle(0, 1)

class Bad:
    def ppf(self, u):
        return {u}

class Measured:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"i": i, "square": i * i}

three = [{"i": 1}, {"i": 2}, {"i": 3}]
empty = []
"""
BROKEN = "import no_such_module_of_anybody\n"


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the user's modules, on the path of this process alone."""
    (tmp_path / "users_rules.py").write_text(MODULE)
    (tmp_path / "users_broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("users_rules", "users_broken"):
        sys.modules.pop(name, None)


def in_a_fresh_interpreter(described: dict[str, Any], index: int) -> Any:
    """Params and case id at an index, as a task would find them."""
    code = (
        "import json, sys; from hpcsweep.sources import source_from_manifest_dict as read\n"
        "case = read(json.loads(sys.argv[1]))[int(sys.argv[2])]\n"
        "print(json.dumps([case.params, case.case_id]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(described), str(index)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- derived ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_derived_params() -> None:
    source = grid(x=[1, 2.5]).repeat(2).derive("users_rules:double")
    case = source[3]
    assert case.params == {"x": 2.5, "y": 5.0}
    assert case.replicate == 1
    identity = {"derive": "users_rules:double", "params": {"x": 2.5}}
    assert case.case_id == ids.case_id(identity, 1)
    assert len({one.case_id for one in source}) == 4
    assert source.params(2) == {"x": 2.5, "y": 5.0}
    assert source.columns()["y"].tolist() == [2, 2, 5.0, 5.0]
    assert source.names == {"x", "y"}


@pytest.mark.usefixtures("users")
def test_derived_params_are_not_in_the_case_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands: another result of the same function is the same case."""
    derived = grid(x=[1, 2]).derive("users_rules:double")
    made: list[Callable[[], ParameterSource]] = [
        lambda: derived,
        lambda: derived.repeat(3),
        lambda: derived.with_params(z=1).shuffle(3),
        lambda: (derived * grid(a=[1, 2]) * grid(b=[3])).repeat(2),
        lambda: grid(a=[1, 2], b=[3]) * derived,
        lambda: zip_(grid(a=[1, 2]), derived)[::-1],
        lambda: (derived + grid(x=[1, 2])).repeat(2).take([0, 3, 5]),
        lambda: derived.derive("users_rules:keep"),
    ]
    before = [[case.case_id for case in make()] for make in made]
    for found in before:
        assert len(set(found)) == len(found)
    assert set(before[3][::2]) == set(before[4])  # the order of a product is no part of a case
    module = sys.modules["users_rules"]
    monkeypatch.setattr(module, "double", lambda params: params | {"y": "changed"})
    derived = grid(x=[1, 2]).derive("users_rules:double")
    assert [[case.case_id for case in make()] for make in made] == before
    assert derived[0].params["y"] == "changed"


@pytest.mark.usefixtures("users")
def test_derived_params_are_the_same_elsewhere() -> None:
    """M12: a resolver that the worker does not know."""
    source = (grid(x=[1, 2]) * random({"u": uniform(0, 1)}, 3, 1)).derive("users_rules:double")
    for index in (0, 5):
        expected = [source[index].params, source[index].case_id]
        assert in_a_fresh_interpreter(source.to_frozen_dict(), index) == expected


def test_a_source_of_this_process_only_is_refused_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M35: accepted where it was typed, and unknown in every task; `check` reads as done here."""
    module = ModuleType("users_memory")
    exec(MODULE, vars(module))  # noqa: S102  # as a notebook defines it
    monkeypatch.setitem(sys.modules, "users_memory", module)
    for source in (
        grid(x=[1]).derive("users_memory:double"),
        random({"x": custom("users_memory:square")}, 1, 1),
        custom_source("users_memory:three"),
    ):
        described = json.loads(json.dumps(source.to_frozen_dict()))
        with pytest.raises(AssertionError, match=r"SourceError: .*cannot be imported"):
            in_a_fresh_interpreter(described, 0)


@pytest.mark.usefixtures("users")
def test_a_function_cannot_change_a_source() -> None:
    source = grid(x=[[1], [2]])
    derived = source.derive("users_rules:spoil")
    assert [case.params for case in derived] == [{"n": 2}, {"n": 2}]
    assert [case.params for case in derived] == [{"n": 2}, {"n": 2}]
    assert derived[0].case_id != derived[1].case_id
    assert source[0].params == {"x": [1]}


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("users_rules", "is not a reference"),
        ("users_rules:", "is not a reference"),
        (":double", "is not a reference"),
        ("users rules:double", "is not a reference"),
        (5, "is not a reference"),
        ("__main__:double", "a task cannot import"),
        ("users_rules:nothing", "has no attribute 'nothing'"),
        ("users_missing:double", "No module named"),
        ("users_broken:double", "no_such_module_of_anybody"),
        ("users_rules:number", "is not a function"),
        ("users_rules:wrong", "a int, not a dict"),
        ("users_rules:bad_name", "'seed'"),
        ("users_rules:unwritable", "no exact JSON form"),
        ("users_rules:failing", "raised RuntimeError: no luck"),
    ],
)
def test_refused_functions(reference: Any, words: str) -> None:
    refused(lambda: grid(x=[1]).derive(reference), words)


# --- distributions ----------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_custom_distributions() -> None:
    """M11: accepted at submit, and every task dies."""
    made = custom("users_rules:Triangle", low=1.0, high=3.0)
    assert made.at(0) == 1.0
    assert made.at(2**52) == 1.5
    source = random({"t": made, "s": custom("users_rules:square")}, 5, 1)
    described = json.loads(json.dumps(source.to_manifest_dict()))
    assert list(source_from_manifest_dict(described)) == list(source)
    expected = [source[3].params, source[3].case_id]
    assert in_a_fresh_interpreter(source.to_frozen_dict(), 3) == expected
    assert source.columns()["t"].tolist() == [case.params["t"] for case in source]
    assert distribution(made.to_manifest_dict(), "x") == made
    assert hash(distribution(made.to_manifest_dict(), "x")) == hash(made)


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: custom("users_rules:number"), "has no ppf"),
        (lambda: custom("users_rules:Triangle"), "has no ppf"),
        (lambda: custom("users_rules:Triangle", low=1), "TypeError"),
        (lambda: custom("users_rules:nothing"), "cannot be imported"),
        (lambda: custom("nowhere"), "is not a reference"),
        (lambda: random({"x": object()}, 1, 1), "is not a distribution"),
    ],
)
def test_refused_distributions(make: Callable[[], object], words: str) -> None:
    refused(make, words)


@pytest.mark.usefixtures("users")
def test_values_of_a_custom_distribution_have_a_form() -> None:
    described = {"type": "CustomDistribution", "reference": "users_rules:Bad", "arguments": {}}
    with pytest.raises(IdentityError, match=r"users_rules:Bad\.ppf: a set"):
        distribution(described, "x")


# --- sources ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("users")
def test_custom_sources() -> None:
    source = custom_source("users_rules:Measured", n=10**12)
    assert source.n_cases == 10**12
    assert source[-1].params == {"i": 10**12 - 1, "square": (10**12 - 1) ** 2}
    expected = [source[7].params, source[7].case_id]
    assert in_a_fresh_interpreter(source.to_frozen_dict(), 7) == expected
    assert [case.params["i"] for case in custom_source("users_rules:three") * grid(k=[1])] == [
        1,
        2,
        3,
    ]


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: custom_source("users_rules:empty"), "has no cases"),
        (lambda: custom_source("users_rules:number"), "len of users_rules:number"),
        (lambda: custom_source("users_rules:Measured"), "TypeError"),
    ],
)
def test_refused_sources(make: Callable[[], object], words: str) -> None:
    refused(make, words)


def test_installed_modules_need_no_directory() -> None:
    refused(lambda: custom("math:pi"), "has no ppf")
    described = custom("tests.unit.test_sources_imported:INSTALLED").to_manifest_dict()
    assert described["path"] == str(Path(__file__).parents[2])
    made = distribution({"type": "CustomDistribution", "reference": "scipy.stats:norm"}, "x")
    assert made.to_manifest_dict()["path"] is None


class _Identity:
    def ppf(self, u: float) -> float:
        return u


INSTALLED = _Identity()
