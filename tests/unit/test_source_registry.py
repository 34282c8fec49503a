"""What follows from the description of each source: forms, hints, schema, tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hpcsweep import yamltext
from hpcsweep.manifest.model import json_schema
from hpcsweep.manifest.source_forms import forms, modifiers
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import registry
from hpcsweep.sources.column_roles import ROLE_KEYS
from hpcsweep.sources.table_keys import FORMAT_KEYS
from tests.support import source_tables
from tests.support.manifests import Write, mistakes, write
from tests.support.sweeps import MadeSweep

__all__ = ["mistakes", "write"]  # fixtures are found by their names

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
MODULE = """
class Class:
    def __init__(self, n):
        self.n = n
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        return {"a": i}

def function(params):
    return params
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the examples name: a table and a module."""
    (tmp_path / "cases.csv").write_text("b\n1\n2\n")
    (tmp_path / "module.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    sys.modules.pop("module", None)


@pytest.fixture
def countdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The source of CONTRIBUTING.md in a module; gives the PYTHONPATH of a process that has it."""
    section = CONTRIBUTING.read_text().partition("## Add a source\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"   ```python\n(.*?)   ```", section, re.DOTALL)
    (line,) = re.findall(r"^   `\"(\w+)\": \"[\w.]*\.countdown\",`", section, re.MULTILINE)
    site = tmp_path / "site"
    site.mkdir()
    (site / "countdown.py").write_text(textwrap.dedent(code))
    (site / "sitecustomize.py").write_text(
        f"from hpcsweep.sources import registry\nregistry.SOURCES[{line!r}] = 'countdown'\n"
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setitem(registry.SOURCES, line, "countdown")
    yield os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    sys.modules.pop("countdown", None)


# --- what is made of the descriptions ------------------------------------------------------------


@pytest.mark.parametrize(("page", "part"), source_tables.TABLES)
def test_the_tables_of_the_documentation_are_as_made(page: str, part: str) -> None:
    _, made, _ = source_tables.parts((source_tables.DOCS / page).read_text(), part)
    expected = source_tables.table(source_tables.TABLES[page, part]())
    assert made == expected, "run: python -m tests.support.source_tables"


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("form", [*forms(), *modifiers()])
def test_the_example_of_every_form(write: Write, form: str) -> None:
    known = forms() | modifiers()
    kind = registry.source_class(known[form]).KIND
    inner = "grid: {a: {range: [201]}}, " if kind.is_modifier else ""
    text = f"name: x\ntarget: osc.py:f\nsource: {{{inner}{form}: {kind.example}}}\n"
    Draft202012Validator(json_schema()).validate(yamltext.document(text, "m").value)
    _, source = load_manifest(write(text))
    assert type(source).__name__ == known[form]
    names = {"type", "total_cases", *(key.name for key in kind.keys)}
    left_out = {key.name for key in (*FORMAT_KEYS, *ROLE_KEYS)} if form == "table" else set[str]()
    assert set(source.to_manifest_dict()) == names - left_out


def test_every_key_has_a_description() -> None:
    for name in registry.SOURCES:
        kind = registry.source_class(name).KIND
        assert kind.meaning
        assert kind.python
        assert all(key.meaning and key.type.noun for key in kind.keys), name
        assert kind.alone in {key.name for key in kind.keys} | {""}


# --- a new source --------------------------------------------------------------------------------


def test_a_new_source_plans_and_runs(countdown: str, write: Write, tmp_path: Path) -> None:
    text = "name: x\ntarget: osc.py:f\nsource: {countdown: {start: 3}, fixed: {y: 1}}\n"
    Draft202012Validator(json_schema()).validate(yamltext.document(text, "m").value)
    _, source = load_manifest(write(text))
    sweep = MadeSweep(tmp_path, source)
    assert sweep.plan().indices.count == 3
    sweep.run(PYTHONPATH=countdown)
    found = {index: end["metrics"] for index, end in sweep.ends().items()}
    assert found == {i: {"x": 3 - i, "y": 1} for i in range(3)}


@pytest.mark.usefixtures("countdown")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\n  countdwn: {start: 3}", "4: source.countdwn: unknown key. Did you mean 'countdown'?"),
        (
            "\n  countdown:\n    strat: 3",
            "5: source.countdown.strat: unknown key. Did you mean 'start'?",
        ),
        ("\n  countdown: 3", "4: source.countdown: is the number 3, not a mapping. Write start"),
        ("\n  countdown:\n    start: 0", "5: source.countdown.start: 0 is too small."),
        (
            "\n  type: CountdownSource\n  start: x",
            "5: source.start: 'x' is not an integer.",
        ),
        (
            "\n  type: CountdownSuorce\n  start: 3",
            "4: source.type: unknown type of source 'CountdownSuorce'. Did you mean 'Countdown",
        ),
    ],
)
def test_mistakes_in_a_new_source_have_their_lines(
    mistakes: Callable[..., list[str]], source: str, expected: str
) -> None:
    found = mistakes(f"name: x\ntarget: osc.py:f\nsource: {source}\n")
    assert any(mistake.startswith(f"m.yaml:{expected}") for mistake in found), found


@pytest.mark.usefixtures("countdown")
def test_a_new_source_is_in_schema_and_tables() -> None:
    validator = Draft202012Validator(json_schema())
    whole = {"name": "s", "target": "m.py:run"}
    assert validator.is_valid(whole | {"source": {"countdown": {"start": 3}}})
    assert not validator.is_valid(whole | {"source": {"countdown": {"start": 0}}})
    assert not validator.is_valid(whole | {"source": {"countdown": {"strat": 3}}})
    assert any("`countdown: {start: 3}`" in row for row in source_tables.kinds())
    assert any("the first x" in row[3] for row in source_tables.keys_of_kinds())


# --- what a task loads ---------------------------------------------------------------------------

GRID = {"type": "GridSource", "spec": {"x": [1, 2]}}
UNIFORM = {"type": "Uniform", "low": 0, "high": 1}
DRAWS = {"type": "RandomSource", "space": {"x": UNIFORM}, "n_trials": 3, "seed": 1}


@pytest.mark.parametrize(
    ("described", "more"),
    [
        (GRID, "grid_source"),
        (DRAWS, "distributions numeric numeric.philox random_source"),
        ({"type": "ShuffleSource", "source": GRID, "seed": 1}, "grid_source numeric views"),
    ],
    ids=["grid", "random", "shuffle"],
)
def test_a_task_loads_the_modules_of_its_source_alone(
    described: dict[str, object], more: str
) -> None:
    script = f"""
import sys
from hpcsweep.sources.registry import needs_user_code, source_from_manifest_dict
assert not needs_user_code({described!r})
source_from_manifest_dict({described!r}).repeat(1)[1]
prefix = "hpcsweep.sources."
print(*[name.removeprefix(prefix) for name in sys.modules if name.startswith(prefix)])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - {"numeric.permutation"}
    assert loaded == {"keys", "registry", "base", *more.split()}


# --- a new distribution --------------------------------------------------------------------------

LOADED_DIE = """
from dataclasses import dataclass

from hpcsweep.sources.distributions import Distribution


@dataclass(frozen=True)
class LoadedDie(Distribution):
    "Six, unless the number is below a bound."

    bound: float = 0.5

    def at(self, k):
        return 1 if k * 2.0**-53 < self.bound else 6

    def column(self, k):
        raise NotImplementedError
"""


def test_a_new_distribution_is_a_module_and_a_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loaded_die.py").write_text(LOADED_DIE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.DISTRIBUTIONS, "LoadedDie", "loaded_die")
    form = "{space: {eyes: {type: LoadedDie, bound: 0.25}}, n_trials: 30, seed: 1}"
    text = f"name: x\ntarget: osc.py:f\nsource: {{random: {form}}}\n"
    validator = Draft202012Validator(json_schema())
    validator.validate(yamltext.document(text, "m").value)
    assert not validator.is_valid(yamltext.document(text.replace("bound", "bond"), "m").value)
    _, source = load_manifest(write(text))
    assert {case.params["eyes"] for case in source} == {1, 6}
    sys.modules.pop("loaded_die")
