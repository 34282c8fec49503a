"""The JSON Schema of a manifest: what the loader takes it takes, and typical mistakes it marks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import hpcsweep as hs
from hpcsweep import yamltext
from hpcsweep.cli import main
from hpcsweep.cli.commands import init
from hpcsweep.errors import ManifestError
from hpcsweep.manifest import slurm_options, source_forms
from hpcsweep.manifest.model import UserManifest, json_schema
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import ParameterSource, ranges, registry
from hpcsweep.tables import sweep_cases

REPOSITORY = Path(__file__).parents[2]
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLES = sorted(REPOSITORY.glob("examples/*/*.[jy]*"))
SHOWN = [
    block
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    if "profiles:" not in block
]
SPACE: dict[str, Any] = {
    "x": hs.uniform(0, 1),
    "n": hs.randint(1, 6),
    "c": hs.choice(["a", "b"]),
    "l": hs.loguniform(1e-3, 1),
    "i": hs.loguniform_int(1, 9),
    "g": hs.normal(0, 1),
    "e": hs.lognormal(0, 1),
    "t": hs.truncnormal(0, 1, None, 2),
    "q": hs.quniform(0, 1, 0.25),
    "w": hs.weighted_choice(["a", "b"], [1, 3]),
    "k": hs.constant(None),
    "o": hs.custom("tests.support.sourcing:Square", low=1),
}
GRID = hs.grid(x=[1, 2], y=hs.linspace(0, 1, 11))
DRAWS: dict[str, Any] = {"space": {"x": {"type": "Uniform", "low": 0, "high": 1}}, "n_trials": 3}


def manifest(**keys: Any) -> dict[str, Any]:
    """A good manifest with other keys; None takes one away."""
    whole = {"name": "s", "target": "model.py:run", "source": {"grid": {"x": [1, 2]}}} | keys
    return {key: value for key, value in whole.items() if value is not None}


def loads(value: dict[str, Any], root: Path) -> bool:
    (root / "model.py").touch()
    (root / "cases.csv").write_text("a\n1\n2\n")
    path = root / "manifest.json"
    path.write_text(json.dumps(value))
    try:
        load_manifest(path)
    except ManifestError:
        return False
    return True


# --- what there is -------------------------------------------------------------------------------


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output) == SCHEMA


def test_the_schema_describes_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["title"]
    assert set(SCHEMA["properties"]) == set(UserManifest.model_fields)
    assert all(key["description"] for key in SCHEMA["properties"].values())
    assert "null" not in json.dumps(
        [key.get("default") for key in SCHEMA["properties"].values() if "default" in key]
    )


def test_the_schema_accepts_every_form_of_a_source() -> None:
    """Whatever the loader learns, the schema must learn, too."""
    found = SCHEMA["$defs"]
    short = found["ShortSource"]["properties"]
    forms = {*source_forms.forms_written(), *source_forms.modifiers()}
    assert set(short) == {*forms, *sweep_cases.KEYS, source_forms.SPACE}
    assert all(key["description"] for key in short.values())
    kinds = {one["properties"]["type"]["const"] for one in found["TypedSource"]["anyOf"]}
    assert kinds == set(registry.SOURCES)
    drawn = {one["properties"]["type"]["const"] for one in found["Distribution"]["anyOf"][1:]}
    assert drawn == set(registry.DISTRIBUTIONS)
    assert {key for one in found["Axis"]["anyOf"][1:] for key in one["required"]} == set(
        ranges.RULES
    )


def test_the_schema_has_the_options_of_sbatch() -> None:
    options = SCHEMA["properties"]["slurm"]["properties"]
    assert {name for name, schema in options.items() if schema is False} == set(
        slurm_options.REFUSED
    )
    assert {"partition", "time", "mem", "gres"} <= set(options)


# --- what it takes -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_example(path: Path) -> None:
    VALIDATOR.validate(yamltext.load(path).value)


@pytest.mark.parametrize("block", SHOWN)
def test_every_manifest_of_the_documentation(block: str) -> None:
    VALIDATOR.validate(yamltext.document(block, "block").value)


@pytest.mark.parametrize("kind", init.KINDS)
def test_every_manifest_of_init(kind: str) -> None:
    text = init.starter(kind)[init.MANIFEST].replace(init.NAME, "s")
    VALIDATOR.validate(yamltext.document(text, kind).value)


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) >= 3
    assert len(SHOWN) >= 5


@pytest.mark.parametrize(
    "source",
    [
        GRID,
        hs.random(SPACE, 5, seed=1),
        hs.design("halton", {"x": hs.uniform(0, 1)}, 8, 3),
        hs.manual([{"x": 1}, {"y": [None, {"a": "b"}]}], tags=["t"]),
        GRID * hs.grid(z=["a", "b"]),
        GRID + GRID,
        hs.zip_(hs.grid(a=[1, 2]), hs.grid(b=[3, 4])),
        GRID.with_params(z=1),
        GRID.shuffle(7),
        GRID.repeat(3),
        GRID.repeat(2) + GRID,
        GRID[2:9:3],
        GRID.take([0, 3, 4]),
        hs.custom_source("tests.support.sourcing:OWN_CASES"),
        GRID.derive("tests.support.sourcing:same"),
    ],
    ids=lambda source: type(source).__name__,
)
def test_the_dict_of_every_kind_of_source(source: ParameterSource, tmp_path: Path) -> None:
    value = manifest(source=json.loads(json.dumps(source.to_manifest_dict())))
    VALIDATOR.validate(value)
    assert loads(value, tmp_path)


TAKEN: list[dict[str, Any]] = [
    {"chunk": "auto"},
    {"chunk": 5, "replicates": 3, "seed": -1, "cpus_per_case": 2, "share": "private"},
    {"case_timeout": 0.5},
    {"case_timeout": "01:00:00"},
    {"store": "HPCSWEEP_DB"},
    {"store": "postgresql+psycopg:///?service=sweeps"},
    {"store": "postgresql://me@host/db"},
    {"slurm": {"time": "1-12:00:00", "mem": "2g", "exclusive": True, "cpus-per-task": "4"}},
    {
        "slurm": {
            "time": 30,
            "time-min": "unlimited",
            "gres": "gpu:2",
            "container-image": "a b|c",
        }
    },
    {"slurm": {"comment": 1.5, "nodes": "2-4"}},
    {"setup": ["module load gcc", "  source venv/bin/activate"]},
    {"target": None, "command": ["./sim", "{x}"]},
    {"target": "package.module:Class.method"},
    {"runs": "packed"},
    {"source": {"grid": {"x": {"range": [5]}, "y": {"logspace": [-3, 0, 4, 2]}}}},
    {"source": {"manual": {"cases": [{"x": 1}], "tags": ["a"]}}},
    {"source": {"table": "cases.csv"}},
    {"source": {"table": {"file": "cases.csv", "tags": ["a"]}, "take": "0-1"}},
    {"source": {"random": {**DRAWS, "seed": 1}, "fixed": {"y": None}, "shuffle": 3}},
    {"source": {"design": {**DRAWS, "seed": 1, "method": "sobol"}, "take": [0, 2]}},
    {"source": {"random": {"space": {"x": 5, "y": None}, "n_trials": 1, "seed": 1}}},
    {"source": {"concat": [{"grid": {"x": [1]}}, {"type": "GridSource", "spec": {"x": [2]}}]}},
    {"source": {"type": "RandomSource", **DRAWS, "seed": 1}},
]


@pytest.mark.parametrize("keys", TAKEN, ids=str)
def test_values_that_the_loader_accepts(keys: dict[str, Any], tmp_path: Path) -> None:
    value = manifest(**keys)
    VALIDATOR.validate(value)
    assert loads(value, tmp_path)


# --- what it marks -------------------------------------------------------------------------------

MISTAKES: dict[str, dict[str, Any]] = {
    "a misspelt key": {"replicate": 3},
    "no name": {"name": None},
    "no source": {"source": None},
    "neither target nor command": {"target": None},
    "both of them": {"command": ["./sim", "{x}"]},
    "a name with a space": {"name": "my sweep"},
    "a target without a function": {"target": "model.py"},
    "a command in one text": {"target": None, "command": "./sim {x}"},
    "no replicates": {"replicates": 0},
    "replicates as text": {"replicates": "3"},
    "a true seed": {"seed": True},
    "a chunk that is no number": {"chunk": "automatic"},
    "a chunk of none": {"chunk": 0},
    "no time": {"case_timeout": "1h"},
    "no time left": {"case_timeout": 0},
    "a setup line of two": {"setup": ["a\nb"]},
    "an empty setup line": {"setup": [" "]},
    "setup as text": {"setup": "module load gcc"},
    "an unknown store": {"store": "mysql://h/d"},
    "a store with a password": {"store": "postgresql://me:secret@host/db"},
    "another way to keep runs": {"runs": "some"},
    "an option that is ours": {"slurm": {"array": "0-9"}},
    "an option with underscores": {"slurm": {"cpus_per_task": 2}},
    "memory with a space": {"slurm": {"mem": "2 GB"}},
    "an odd time": {"slurm": {"time": "1h"}},
    "half a node": {"slurm": {"nodes": 1.5}},
    "a list of options": {"slurm": ["--mem=1G"]},
    "a source without a form": {"source": {}},
    "two forms at once": {"source": {"grid": {"x": [1]}, "manual": [{"x": 1}]}},
    "a misspelt form": {"source": {"gird": {"x": [1]}}},
    "an axis of letters": {"source": {"grid": {"x": "abc"}}},
    "an axis of one number": {"source": {"grid": {"x": 1}}},
    "an empty axis": {"source": {"grid": {"x": []}}},
    "a value twice": {"source": {"grid": {"x": [1, 1.0]}}},
    "a reserved name": {"source": {"grid": {"seed": [1]}}},
    "a rule with too few numbers": {"source": {"grid": {"x": {"linspace": [0, 1]}}}},
    "two rules": {"source": {"grid": {"x": {"range": [3], "linspace": [0, 1, 3]}}}},
    "an unknown rule": {"source": {"grid": {"x": {"linespace": [0, 1, 3]}}}},
    "draws without a seed": {"source": {"random": DRAWS}},
    "no trials": {"source": {"random": {**DRAWS, "seed": 1, "n_trials": 0}}},
    "an unknown distribution": {
        "source": {"random": {"space": {"x": {"type": "Gauss"}}, "n_trials": 1, "seed": 1}}
    },
    "a distribution without its bound": {
        "source": {
            "random": {"space": {"x": {"type": "Uniform", "low": 1}}, "n_trials": 1, "seed": 1}
        }
    },
    "an unknown design": {"source": {"design": {**DRAWS, "seed": 1, "method": "sobel"}}},
    "a case that is no mapping": {"source": {"manual": [1, 2]}},
    "no cases": {"source": {"manual": []}},
    "a reference without a name": {"source": {"custom": {"reference": "module"}}},
    "indices in words": {"source": {"grid": {"x": [1, 2]}, "take": "first"}},
    "an unknown type": {"source": {"type": "ListSource", "spec": {}}},
    "replicates of nothing": {
        "source": {"type": "ReplicatedSource", "source": {}, "replicates": 2}
    },
    "a product of names": {"source": {"product": ["a", "b"]}},
}


@pytest.mark.parametrize("what", MISTAKES)
def test_typical_mistakes_are_marked(what: str, tmp_path: Path) -> None:
    value = manifest(**MISTAKES[what])
    assert not VALIDATOR.is_valid(value)
    assert not loads(value, tmp_path)
