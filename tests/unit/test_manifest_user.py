"""The manifest that people write: what it means, and what is wrong with its keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import yamltext
from hpcsweep.errors import ManifestError
from hpcsweep.manifest.frozen import FrozenManifest, SetupLine, Target
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import Resources
from tests.support.manifests import FULL, GOOD, Load, Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names


def test_every_key_arrives_in_the_frozen_manifest(write: Write, tmp_path: Path) -> None:
    manifest, source = load_manifest(write(FULL))
    assert manifest == FrozenManifest(
        name="oscillator",
        root=str(tmp_path),
        target=Target(file="osc.py", function="simulate"),
        source={
            "type": "GridSource",
            "spec": {"dt": [0.01, 0.001], "omega": [1.0, 2.0, 3.0]},
            "total_cases": 6,
        },
        replicates=3,
        seed=42,
        setup=(
            SetupLine(text="module load gcc/12", where="m.yaml:8"),
            SetupLine(text='export A="b: $c" # trusted', where="m.yaml:9"),
        ),
        resources=Resources(
            options={
                "partition": "short",
                "time": "00:30:00",
                "mem": "2G",
                "cpus-per-task": "2",
                "exclusive": "",
            }
        ),
        chunk=7,
        store="sqlite",
        runs="none",
        case_timeout_s=1.5,
        share="private",
        fingerprint=manifest.fingerprint,
    )
    assert len(source) == 18
    assert source[3].params == {"dt": 0.01, "omega": 2.0}
    assert source[4].replicate == 1


def test_omitted_keys_have_defaults(load: Load, tmp_path: Path) -> None:
    manifest = load(GOOD)
    assert manifest == FrozenManifest(
        name="oscillator",
        root=str(tmp_path),
        target=Target(file="osc.py", function="simulate"),
        source=manifest.source,
        fingerprint=manifest.fingerprint,
    )


def test_json_and_yaml_are_the_same_but_for_lines(write: Callable[..., Path]) -> None:
    value = yamltext.document(FULL, "m.yaml").value
    from_json, _ = load_manifest(write(json.dumps(value, indent=2), "m.json"))
    from_yaml, _ = load_manifest(write(FULL))
    assert from_json.setup[1] == SetupLine(text=from_yaml.setup[1].text, where="m.json:21")
    rest: dict[str, Any] = {"setup": (), "fingerprint": ""}
    assert replace(from_json, **rest) == replace(from_yaml, **rest)


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("chunk: auto", "chunk", None),
        ("runs: auto", "runs", "auto"),
        ("runs: all", "runs", "all"),
        ("runs: packed", "runs", "packed"),
        ("runs: failed", "runs", "failed"),
        ("share: private", "share", "private"),
        ("case_timeout: 01:30:05", "case_timeout_s", 5405.0),
        ("case_timeout: 90", "case_timeout_s", 90.0),
        ("seed: -1", "seed", -1),
        ("seed: 0x1F", "seed", 31),
        ("seed: 340282366920938463463374607431768211457", "seed", 2**128 + 1),
        ("cpus_per_case: 4", "resources", Resources(options={"cpus-per-task": "4"})),
        ("slurm: {time: 30}", "resources", Resources(options={"time": "30"})),
        ("slurm: {time: 1-12}", "resources", Resources(options={"time": "1-12"})),
        ("slurm: {mem: 500}", "resources", Resources(options={"mem": "500"})),
        ("slurm: {gres: 'gpu:a100:2'}", "resources", Resources(options={"gres": "gpu:a100:2"})),
        (
            "slurm: {cpus-per-task: 4}\ncpus_per_case: 4",
            "resources",
            Resources(options={"cpus-per-task": "4"}),
        ),
    ],
)
def test_values(load: Load, written: str, field: str, value: Any) -> None:
    found = getattr(load(f"{GOOD}{written}\n"), field)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("target: osc.py:simulate", Target(file="osc.py", function="simulate")),
        ("target: ./osc.py:A.b", Target(file="./osc.py", function="A.b")),
        ("target: sub/../osc.py:f", Target(file="sub/../osc.py", function="f")),
        ("target: pack.mod:f", Target(module="pack.mod", function="f")),
        (
            'command: [./sim, "--o={omega}", "{dt}", "{run_dir}/{seed}{case_id}{index}", "{{}}"]',
            Target(
                argv=("./sim", "--o={omega}", "{dt}", "{run_dir}/{seed}{case_id}{index}", "{{}}")
            ),
        ),
        ('command: [sim, "{params_json}", ""]', Target(argv=("sim", "{params_json}", ""))),
    ],
)
def test_targets(load: Load, tmp_path: Path, written: str, target: Target) -> None:
    (tmp_path / "sub").mkdir()
    assert load(GOOD.replace("target: osc.py:simulate", written)).target == target


@pytest.mark.parametrize(
    ("written", "first", "count"),
    [
        ("{grid: {}}", {}, 1),
        ("{type: GridSource, spec: {a: [1, 2]}}", {"a": 1}, 2),
        ("{type: GridSource, spec: {a: [1, 2]}, total_cases: 2}", {"a": 1}, 2),
        ("{manual: [{a: 1}, {a: 2, b: x}]}", {"a": 1}, 2),
        ("{manual: {cases: [{a: 1}], tags: [t]}}", {"a": 1}, 1),
        ("{type: ManualSource, cases: [{a: 1}]}", {"a": 1}, 1),
        ("{random: {space: {a: {type: Choice, options: [5]}}, n_trials: 3, seed: 1}}", {"a": 5}, 3),
        (
            "{type: RandomSource, space: {a: {type: RandInt,low: 5,high: 5}},n_trials: 3,seed: 1}",
            {"a": 5},
            3,
        ),
    ],
)
def test_forms_of_a_source(write: Write, written: str, first: dict[str, Any], count: int) -> None:
    path = write(f"name: x\ntarget: osc.py:f\nsource: {written}\n")
    _, source = load_manifest(path)
    assert (source[0].params, len(source)) == (first, count)


SIX_MISTAKES = """\
name: x y
targt: osc.py:simulate
source: {grid: {omega: 1.0, dt: [1, 1.0]}}
replicates: 0
slurm:
  partiton: short
share: goup
"""


def test_all_mistakes_are_reported_in_the_order_of_the_lines(
    mistakes: Callable[..., list[str]],
) -> None:
    places = [mistake.split(": ")[:2] for mistake in mistakes(SIX_MISTAKES)]
    assert places == [
        ["m.yaml:1", "name"],
        ["m.yaml:1", "the key 'target' (or 'command') is missing. Write target"],
        ["m.yaml:2", "targt"],
        ["m.yaml:3", "source.grid.omega"],
        ["m.yaml:3", "source.grid.dt"],
        ["m.yaml:4", "replicates"],
        ["m.yaml:6", "slurm.partiton"],
        ["m.yaml:7", "share"],
    ]


def test_the_error_counts_and_lists_them(write: Write) -> None:
    path = write(SIX_MISTAKES)
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 8 mistakes in the manifest"
    assert len(lines) == 9
    with pytest.raises(ManifestError, match="1 mistake in the manifest"):
        load_manifest(write(f"{GOOD}x: 1\n"))


def test_the_known_keys_of_a_mapping_are_listed_once(mistakes: Callable[..., list[str]]) -> None:
    source = "{random: {space: {}, n_trials: 1, seed: 1, xx: 1, yy: 1}}"
    told = mistakes(f"name: x\ntarget: osc.py:f\nxyzzy: 1\nplugh: 2\nsource: {source}\n")
    unknown = [one.partition(": unknown key. ")[2] for one in told if "unknown key" in one]
    above = "The known keys are listed above."
    assert (unknown[1], unknown[3]) == (above, above)
    assert [one.split(", ")[0] for one in unknown[::2]] == [
        "Known are canary",
        "Known are n_trials",
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("repliactes: 2", "repliactes: unknown key. Did you mean 'replicates'?"),
        (
            "xyzzy: 2",
            "xyzzy: unknown key. Known are canary, case_seconds, case_timeout, checkpoint_signal,",
        ),
        (
            "cluster: slurm",
            (
                "cluster: is no key of a manifest. A manifest is for any cluster. Name it when you "
                "submit (--cluster), or write `cluster:` into a profile in"
            ),
        ),
        ("profile: site", "profile: is no key of a manifest. Name a profile on the command line"),
        (
            "partition: short",
            (
                "partition: is no key of a manifest. It is an option of sbatch: write it below "
                "`slurm:`, as in slurm: {partition: …}."
            ),
        ),
        ("replicates: 0", "replicates: is 0. It must be 1 or more."),
        ("replicates: 1.0", "replicates: is the number 1.0, not a whole number."),
        ("replicates: true", "replicates: is true, not a whole number."),
        ("replicates:", "replicates: is empty, not a whole number."),
        ("seed: '1'", "seed: is the text '1', not a whole number."),
        ("seed: [1]", "seed: is a list, not a whole number."),
        (f"seed: {2**2048}", "seed: has more than 2048 bits."),
        ("setup: module load gcc", "setup: is the text 'module load gcc', not a list."),
        ("setup: [1]", "setup[0]: is the number 1, not a line of shell."),
        ('setup: [a, "a\\nb"]', "setup[1]: has more than one line."),
        ('setup: ["a\\rb"]', "setup[0]: has more than one line."),
        ('setup: [" "]', "setup[0]: is an empty line."),
        ("slurm: fast", "slurm: is the text 'fast', not a mapping."),
        ("chunk: 0", "chunk: is the number 0. Write auto,"),
        ("chunk: true", "chunk: is true. Write auto,"),
        ("chunk: 2.0", "chunk: is the number 2.0. Write auto,"),
        ("store: sqllite", "store: names no database. Write sqlite, postgresql:///?service=NAME,"),
        ("store: 3", "store: names no database."),
        ("store:", "store: names no database."),
        ("store: mysql://me@db/x", "store: names no database."),
        ("store: postgresql:x", "store: names no database."),
        ("store: 'postgresql://db/a b'", "store: names no database."),
        ("store: postgresql://[/x", "store: names no database."),
        ("store: postgresql://me@db:hunter2/x", "store: names no database."),
        ("store: database_url", "store: names no database."),
        ("store: host=db dbname=x", "store: names no database."),
        ("store: 'postgresql://me:$PASSWORD@db/x'", "store: holds a password, which"),
        ("store: 'postgresql://me:@db/x'", "store: holds a password, which"),
        ("store: 'postgresql:///x?password=$PASSWORD'", "store: holds a password, which"),
        ("store: 'postgresql:///x?sslpassword='", "store: holds a password, which"),
        ("share: everybody", "share: "),
        ("runs: al", "runs: is the text 'al'. Did you mean 'all'?"),
        ("runs:", "runs: is empty. Did you mean 'none'?"),
        ("share: public", "share: is the text 'public'."),
        ("case_timeout: 0", "case_timeout: is 0 seconds. Write seconds above 0,"),
        ("case_timeout: .nan", "case_timeout: is nan seconds."),
        ("case_timeout: .inf", "case_timeout: is inf seconds."),
        ("case_timeout: 10m", "case_timeout: is the text '10m', not a time."),
        ("case_timeout: true", "case_timeout: is true, not a time."),
        ("case_timeout: 1:75:00", "case_timeout: is the text '1:75:00', not a time."),
        ("cpus_per_case: 0", "cpus_per_case: is 0. It must be 1 or more."),
    ],
)
def test_wrong_values(mistakes: Callable[..., list[str]], written: str, expected: str) -> None:
    (found,) = mistakes(f"{GOOD}{written}\n")
    assert found.startswith(f"m.yaml:4: {expected}")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".x", "-x", "a b", "a/b", "/a", "ä", "a\u202eb", "x" * 65, "a\nb", 3, None],
)
def test_names_that_are_refused(mistakes: Callable[..., list[str]], name: Any) -> None:
    (found,) = mistakes(GOOD.replace("oscillator", json.dumps(name), 1))
    assert found.startswith("m.yaml:1: name: is ")


@pytest.mark.parametrize(
    "store",
    [
        "sqlite",
        "postgresql:///?service=sweeps",
        "postgresql+psycopg:///?service=sweeps",
        "postgresql://me@db.example:5433/x?sslmode=verify-full",
        "postgresql://me@[::1]/x",
        "SWEEP_DATABASE",
    ],
)
def test_the_store_key_is_kept_as_written(load: Load, store: str) -> None:
    assert load(f"{GOOD}store: '{store}'\n").store == store


@pytest.mark.parametrize("name", ["x", "0", "_", "a.b-c_D", "x" * 64])
def test_accepted_names(load: Load, name: str) -> None:
    assert load(GOOD.replace("oscillator", f"'{name}'", 1)).name == name
