"""Mistakes in the source of a manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcsweep.errors import ManifestError
from hpcsweep.manifest import freezing, frozen
from hpcsweep.manifest.mistakes import SHOWN_MAX
from hpcsweep.manifest.user import load_manifest
from tests.support.manifests import Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names


RANDOM_MISTAKES = """
  random:
    n_trials: 0
    seed: x
    space:
      a: {type: Uniform, low: 2, high: 1}
      b: [3]
      c: {type: Unifrom, low: 0, high: 1}
      d: {type: Uniform, low: 0}
      case: {type: RandInt, low: 1, high: 2}"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("3", ["3: source: is the number 3, not a mapping. Write one of grid,"]),
        ("{}", ["3: source: has no cases. Write one of grid, random, design,"]),
        (
            "{gird: {a: [1]}}",
            ["3: source.gird: unknown key. Did you mean 'grid'?", "3: source: has no cases."],
        ),
        (
            "{table: a.csv, key: [n]}",
            [
                "3: source.table: a.csv: cannot be read",
                "3: source.key: belongs inside of 'table'. Write table: {file: a.csv, key: …}.",
            ],
        ),
        (
            "{random: {space: {n: 5}, n_trials: 3}, seed: 1}",
            [
                "3: source.random: the key 'seed' is missing.",
                "3: source.seed: belongs inside of 'random'. Write random: {seed: …}.",
            ],
        ),
        ("{grid: {a: [1]}, manual: [{}]}", ["3: source: has grid and manual, not one of them."]),
        ("{grid: [1]}", ["3: source.grid: is a list, not a mapping."]),
        (
            "\n  grid:\n    a: 1\n    b: [x,\n     {y: .nan}]",
            [
                "5: source.grid.a: 1 has the type int, not a list",
                "7: source.grid.b[1].y: nan has no JSON form.",
            ],
        ),
        (
            "\n  grid:\n    a: []\n    log: [1]",
            [
                "5: source.grid.a: the list is empty.",
                "6: source.grid.log: no parameter can be called 'log'",
            ],
        ),
        (
            "\n  grid:\n    'a [b]':\n      - 1\n      - .inf",
            ["7: source.grid.a [b][1]: inf has no JSON form."],
        ),
        (
            "\n  type: GridSource\n  spec:\n    a: [1,\n     .nan]\n    b: 3",
            ["7: source.spec.a[1]: nan has no", "8: source.spec.b: 3 has the type int"],
        ),
        (
            "\n  type: GridSource\n  spec: {a: [1]}\n  total_cases: 3",
            ["6: source.total_cases: it is 3, but the source has 1."],
        ),
        (
            "\n  type: GirdSource\n  spec: {a: [1]}",
            ["4: source.type: unknown type of source 'GirdSource'. Did you mean 'GridSource'?"],
        ),
        ("\n  type: GridSource", ["3: source: the key 'spec' is missing."]),
        ("\n  type: ReplicatedSource", ["3: source: the key 'source' is missing."]),
        (
            "\n  type: ManualSource\n  file: cases.jsonl\n  total_cases: 1",
            ["5: source.file: only a frozen manifest has its cases in a file."],
        ),
        (
            "\n  manual:\n  - {a: 1}\n  - 3\n  - {b: .nan}\n  - {log: 1}",
            [
                "6: source.manual[1]: 3 has the type int",
                "7: source.manual[2].b: nan has",
                "8: source.manual[3]: no parameter can be called",
            ],
        ),
        (
            "\n  manual:\n  - {a: 1}\n  - {a: 1.0}",
            ["4: source.manual: the cases at 0 and 1 are the same"],
        ),
        ("{manual: []}", ["3: source.manual: [] is not a list of cases."]),
        (
            "{manual: 3}",
            ["3: source.manual: is the number 3, not a mapping. Write cases below it."],
        ),
        (
            "\n  manual:\n    cases: [{a: 1}]\n    tags: [1]",
            ["6: source.manual.tags: [1] is not a list of text."],
        ),
        (
            "\n  manual:\n    cases: [{a: .nan}]\n    tags: 3",
            ["5: source.manual.cases[0].a: nan has", "6: source.manual.tags: 3 is not"],
        ),
        (
            "{random: {space: {}, n_trials: 1}}",
            ["3: source.random: the key 'seed' is missing. Needed are space, n_trials, seed."],
        ),
        (
            "{random: {space: {}, n_trial: 1, seed: 1}}",
            [
                "3: source.random.n_trial: unknown key. Did you mean 'n_trials'?",
                "3: source.random: the key 'n_trials' is missing.",
            ],
        ),
        (
            "{random: {space: {}, n_trials: 1, seed: 1}}",
            ["3: source.random.space: {} is not a space"],
        ),
        (
            RANDOM_MISTAKES,
            [
                "5: source.random.n_trials: 0 is too small.",
                "6: source.random.seed: 'x' is not an integer.",
                "8: source.random.space.a: low 2.0 is not below high 1.0.",
                "9: source.random.space.b: [3] is not a distribution.",
                "10: source.random.space.c: unknown type of distribution 'Unifrom'.",
                "11: source.random.space.d: the key 'high' is missing.",
                "12: source.random.space.case: no parameter can be called 'case'",
            ],
        ),
        (
            "\n  product:\n  - grid: {a: [1], b: 3}\n  - random: {space: {}}\n  - 7",
            [
                "5: source.product[0].grid.b: 3 has the type int",
                "6: source.product[1].random: the key 'n_trials' is missing.",
                "6: source.product[1].random: the key 'seed' is missing.",
                "7: source.product[2]: is the number 7, not a mapping.",
            ],
        ),
        (
            "\n  product:\n  - grid: {a: [1]}\n  - manual: [{a: 2}]",
            ["4: source.product: the parameter 'a' is in the sources 0 and 1."],
        ),
        ("{zip: []}", ["3: source.zip: is an empty list. Write one source per line"]),
        ("{concat: {grid: {}}}", ["3: source.concat: is a mapping, not a list."]),
        (
            "\n  zip:\n  - grid: {a: [1]}\n  - grid: {b: [1, 2]}",
            ["4: source.zip: the sources have 1, 2 cases."],
        ),
        (
            "\n  grid: {a: [1]}\n  fixed: {a: 2}\n  shuffle: x\n  take: 0-3",
            ["5: source.fixed: the source has the parameter 'a' already."],
        ),
        ("\n  grid: {a: [1]}\n  shuffle: x", ["5: source.shuffle: 'x' is not an integer."]),
        (
            "\n  grid: {a: [1]}\n  take: 0-3",
            ["5: source.take: the indices '0-3' are empty or exceed"],
        ),
        (
            "\n  grid: {a: [1]}\n  shufle: 3",
            ["5: source.shufle: unknown key. Did you mean 'shuffle'?"],
        ),
        ("\n  grid: {a: [1]}\n  derive: x", ["5: source.derive: 'x' is not a reference."]),
        (
            "\n  grid: {a: [1]}\n  derive: no_such_module:f",
            ["5: source.derive: no_such_module:f cannot be imported"],
        ),
        (
            "\n  grid:\n    a: {linspace: [0, 1]}\n    b: {range: [x]}",
            ["5: source.grid.a.linspace: [0, 1] does not fit", "6: source.grid.b.range[0]: 'x'"],
        ),
        (
            "{design: {method: sobl, space: {a: 1}, n_trials: 0, seed: 1}}",
            ["3: source.design.method: unknown method 'sobl'.", "3: source.design.n_trials: 0 is"],
        ),
        ("{table: cases.csv}", ["3: source.table: cases.csv: cannot be read: No such file"]),
        ("{table: {file: 3}}", ["3: source.table.file: 3 is not the name of a file."]),
        ("{custom: {reference: x}}", ["3: source.custom.reference: 'x' is not a reference."]),
        (
            (
                "\n  type: ConcatSource\n  sources: [{type: ReplicatedSource, replicates: 2, "
                "source: {type: GridSource, spec: {a: [1]}}}]\nreplicates: 3"
            ),
            ["6: replicates: the source has replicates already."],
        ),
        (
            (
                "\n  type: SliceSource\n  source: {type: GridSource, spec: {a: [1]}}\n  first: 0\n"
                "  step: 1\n  count: 0"
            ),
            ["3: source: has no cases."],
        ),
    ],
)
def test_sources_that_are_refused(
    mistakes: Callable[..., list[str]], source: str, expected: list[str]
) -> None:
    found = mistakes(f"name: x\ntarget: osc.py:f\nsource: {source}\n")
    assert len(found) == len(expected), found
    for mistake, start in zip(found, expected, strict=True):
        assert mistake.startswith(f"m.yaml:{start}")


def test_a_long_list_of_mistakes_is_cut(write: Write) -> None:
    cases = ", ".join(["{a: .nan}"] * (SHOWN_MAX + 10))
    path = write(f"name: x\ntarget: osc.py:f\nsource: {{manual: [{cases}]}}\n")
    with pytest.raises(ManifestError, match=f"more than {SHOWN_MAX} mistakes") as caught:
        load_manifest(path)
    assert len(caught.value.mistakes) == SHOWN_MAX


FORMS = {
    "{grid: {a: {linspace: [0, 1, 3]}, b: {range: [2]}}}": (
        "{grid: {a: [0.0, 0.5, 1.0], b: [0, 1]}}"
    ),
    "{product: [{grid: {a: [1, 2]}}, {manual: [{b: 1}, {b: 2}]}]}": (
        "{grid: {a: [1, 2], b: [1, 2]}}"
    ),
    "{concat: [{grid: {a: [1]}}, {grid: {a: [2]}}]}": "{grid: {a: [1, 2]}}",
    "{zip: [{grid: {a: [1, 2]}}, {grid: {b: [3, 4]}}]}": "{manual: [{a: 1, b: 3}, {a: 2, b: 4}]}",
    (
        "{type: ConcatSource, sources: [{type: GridSource, spec: {a: [1]}}, {type: "
        "ReplicatedSource, replicates: 1, source: {type: GridSource, spec: {a: [2]}}}]}"
    ): "{grid: {a: [1, 2]}}",
    "{grid: {a: [1, 2]}, fixed: {b: 3}}": "{grid: {a: [1, 2], b: [3]}}",
    "{grid: {a: [1, 2, 3, 4]}, take: '0,2-3'}": "{grid: {a: [1, 3, 4]}}",
    "{table: cases.csv}": "{manual: [{a: 1, b: x}, {a: 2, b: y}]}",
    "{table: {file: cases.csv}, take: 1}": "{manual: [{a: 2, b: y}]}",
    "{custom: {reference: 'users_cases:cases'}}": "{grid: {a: [1, 2]}}",
    "{custom: {reference: 'users_cases:Cases', arguments: {n: 2}}}": "{grid: {a: [0, 1]}}",
    "{grid: {a: [1, 2]}, derive: 'users_cases:double'}": "{manual: [{a: 1, b: 2}, {a: 2, b: 4}]}",
}
MODULE = """
cases = [{"a": 1}, {"a": 2}]

class Cases:
    def __init__(self, n):
        self.n = n
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        return {"a": i}

def double(params):
    return params | {"b": 2 * params["a"]}
"""


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[None]:
    """A table and a module beside the manifest."""
    (tmp_path / "cases.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "users_cases.py").write_text(MODULE)
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("users_cases", None)


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize(("form", "plain"), FORMS.items())
def test_forms_of_a_source(write: Write, tmp_path: Path, form: str, plain: str) -> None:
    def cases(source: str) -> list[dict[str, object]]:
        path = write(f"name: x\ncommand: [sim, '{{params_json}}']\nsource: {source}\n")
        manifest, found = load_manifest(path)
        directory = freezing.write(tmp_path / "sweep", manifest, found)
        assert list(frozen.open_source(directory, frozen.read(directory))) == list(found)
        return [case.params for case in found]

    assert cases(form) == cases(plain)


def test_random_forms(write: Write) -> None:
    space = "{a: {type: LogUniform, low: 1e-3, high: 1}, n: 5}"
    design = f"{{method: sobol, space: {space}, n_trials: 8, seed: 1}}"
    text = f"name: x\ntarget: osc.py:f\nsource: {{design: {design}, shuffle: 3, take: 0-5}}\n"
    _, source = load_manifest(write(f"{text}replicates: 2\n"))
    assert source.n_cases == 12
    assert source[5].params["n"] == 5


@pytest.mark.usefixtures("beside")
def test_placeholders_of_other_forms(mistakes: Callable[..., list[str]]) -> None:
    for source, names in (
        ("{product: [{grid: {a: [1]}}, {table: {file: cases.csv}}]}", None),
        ("{grid: {a: [1]}, derive: 'users_cases:double'}", "a b"),
        ("{table: cases.csv, fixed: {c: 1}}", "a b c"),
    ):
        found = mistakes(f"name: x\ncommand: [sim, '{{z}}']\nsource: {source}\n")
        if names is None:
            assert any("'a' is in the sources 0 and 1" in one for one in found)
            continue
        assert "unknown placeholder {z}" in found[0]
        unused = [one for one in found if "does not use this parameter" in one]
        assert len(unused) == len(names.split())


def test_a_module_beside_a_manifest_hides_none_of_pythons(write: Write, tmp_path: Path) -> None:
    (tmp_path / "users_shadow.py").write_text("def f(params): return params\n")
    (tmp_path / "this.py").write_text("raise RuntimeError\n")
    before = sys.path.copy()
    try:
        load_manifest(
            write("name: x\ntarget: osc.py:f\nsource: {grid: {a: [1]}, derive: 'users_shadow:f'}\n")
        )
        assert sys.path == before
    finally:
        sys.path[:] = before
        sys.modules.pop("users_shadow", None)


def test_a_mistake_in_a_table_has_its_line(
    mistakes: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "cases.csv").write_text("a,b\n1,2\n3\n")
    found = mistakes("name: x\ntarget: osc.py:f\nsource: {table: cases.csv}\n")
    assert found == [
        (
            "m.yaml:3: source.table: cases.csv:3: 1 cell under 2 columns. "
            "Write 2 in each row; an empty one is a missing value."
        )
    ]
