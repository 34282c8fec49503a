"""Numbers among the options of sbatch: as they are written, or whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hpcsweep import settings
from hpcsweep.database.options import job_options
from hpcsweep.manifest.user import load_manifest
from tests.support.manifests import GOOD, Write, mistakes, write

__all__ = ["mistakes", "write"]  # fixtures are found by their names

WRITTEN = ["00123", "1e5", "0x1F", "010", "1_000", "1.50", "1.5", "2.0", "100000.0", "+7", ".5"]


@pytest.mark.parametrize("text", WRITTEN)
def test_options_of_sbatch_are_as_written(write: Write, tmp_path: Path, text: str) -> None:
    manifest = GOOD + (
        f"slurm: {{account: {text}, time: 1:30:00}}\nreduce: [gather]\n"
        f"reduce_slurm: {{comment: {text}}}\nclosing: {{qos: {text}}}\n"
    )
    config = tmp_path / "hpcsweep" / "config.yaml"
    config.parent.mkdir()
    config.write_text(f"profiles: {{p: {{slurm: {{comment: {text}}}}}}}\n")
    _, profile = settings.load("p", {}, {"XDG_CONFIG_HOME": str(tmp_path)})
    frozen, _ = load_manifest(write(manifest), profile=profile)
    assert frozen.resources.options == {"account": text, "time": "1:30:00", "comment": text}
    assert frozen.policies["reduce"]["slurm"] == {"comment": text}
    assert frozen.policies["closing"] == {"qos": text}


@pytest.mark.parametrize("text", WRITTEN)
def test_options_of_set_are_as_written(write: Write, text: str) -> None:
    keys = ("slurm.account", "reduce_slurm.comment", "closing.qos")
    given = [*(f"{key}={text}" for key in keys), "slurm.constraint=[a|b]"]
    sets = dict(map(settings.parse_set, given))
    frozen, _ = load_manifest(write(f"{GOOD}reduce: [gather]\n"), overrides=sets)
    assert frozen.resources.options == {"account": text, "constraint": "[a|b]"}
    assert frozen.policies["reduce"]["slurm"] == {"comment": text}
    assert frozen.policies["closing"] == {"qos": text}
    assert settings.parse_set(f"slurm={{qos: {text}}}") == ("slurm", {"qos": text})


def test_options_in_json_are_as_written(write: Write) -> None:
    path = write(GOOD).with_name("m.json")
    options = '{"qos": 12, "comment": 1.50, "account": 1e5, "mcs-label": "1.50", "wckey" :\n -2.0}'
    path.write_text(f'{{"slurm": {options}, {json.dumps(yaml.safe_load(GOOD))[1:]}')
    expected = {"qos": "12", "comment": "1.50", "account": "1e5", "mcs-label": "1.50"}
    assert load_manifest(path)[0].resources.options == {**expected, "wckey": "-2.0"}


@pytest.mark.parametrize(("text", "number"), [("+2", "2"), ("0x10", "16"), ("012", "12")])
def test_counts_are_whole_numbers(write: Write, text: str, number: str) -> None:
    """sbatch refuses `--nodes=0x2`, and OpenPBS is asked for one node by "1" alone."""
    names = ("nodes", "mem", "cpus-per-task", "ntasks", "time")
    path = write(f"{GOOD}slurm: {{{', '.join(f'{name}: {text}' for name in names)}}}\n")
    assert load_manifest(path)[0].resources.options == dict.fromkeys(names, number)
    sets = dict(settings.parse_set(f"slurm.{name}={text}") for name in names)
    found, _ = load_manifest(write(GOOD), overrides=sets)
    assert found.resources.options == dict.fromkeys(names, number)
    assert job_options(settings.Profile({}, lambda _: ""), sets, ()) == dict.fromkeys(names, number)


@pytest.mark.parametrize("option", ["nodes: 1e1", "ntasks: 1e1", "priority: 1e3", 'gpus: "2.0"'])
def test_counts_are_no_decimals(mistakes: Callable[..., list[str]], option: str) -> None:
    """sbatch takes `--priority=1e3` as 1."""
    (mistake,) = mistakes(f"{GOOD}slurm:\n  {option}\n")
    name, _, text = option.partition(": ")
    number = float(text.strip('"'))
    assert mistake.startswith(f"m.yaml:5: slurm.{name}: is the number {number}, not a value")
    assert mistake.endswith("Write a whole number.")
