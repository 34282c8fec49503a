"""docs/reference/sources.md: its examples run, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hpcsweep
from hpcsweep.manifest.source_forms import forms as known_forms
from hpcsweep.manifest.source_forms import modifiers
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources.designs import METHODS, Sobol
from hpcsweep.sources.ranges import RULES, from_spec
from hpcsweep.sources.registry import DISTRIBUTIONS
from tests.support.doc_files import write_doc_files

PAGE = (Path(__file__).parents[2] / "docs/reference/sources.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MANIFESTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def section(title: str) -> str:
    return PAGE.partition(f"# {title}\n")[2].partition("\n#")[0]


@pytest.mark.parametrize("code", CODE)
def test_python_examples_run(code: str) -> None:
    exec(compile(code, "docs/reference/sources.md", "exec"), {})  # noqa: S102  # our own page


def test_the_first_example_says_what_it_gives() -> None:
    names: dict[str, hpcsweep.ParameterSource] = {}
    exec(CODE[0], names)  # noqa: S102  # our own page
    params = names["source"].params(4)
    assert isinstance(params.pop("noise"), float)
    assert params == {"dt": 0.001, "omega": 1.0, "n": 5}
    assert '{"dt": 0.001, "omega": 1.0, "n": 5, "noise": …}' in CODE[0]


@pytest.mark.parametrize("text", MANIFESTS)
def test_manifests_are_valid(tmp_path: Path, text: str) -> None:
    write_doc_files(tmp_path)
    (tmp_path / "m.yaml").write_text(text)
    frozen, source = load_manifest(tmp_path / "m.yaml")
    counts = {"wide": 110, "plate": 3, "samples": 2, "aligned": 2, "stable": 96, "classifiers": 21}
    assert source.n_cases == counts[frozen.name]


def test_every_form_of_a_manifest_is_on_the_page() -> None:
    forms = re.findall(r"^\| [^|]* \| `(\w+): ", section("Kinds"), re.MULTILINE)
    assert {*forms} == {*known_forms(), *modifiers(), "type"}


def test_every_distribution_is_on_the_page() -> None:
    found = re.findall(
        r"^\| `(\w+)\([^|]*\| `(\w+)`: ([^|]*) \|", section("Distributions"), re.MULTILINE
    )
    assert {kind for _, kind, _ in found} == set(DISTRIBUTIONS)
    for function, kind, names in found:
        assert function in hpcsweep.__all__
        made = getattr(hpcsweep, kind)
        fields = [name for name, field in made.__dataclass_fields__.items() if field.init]
        assert names.split(", ") == [name for name in fields if name != "path"]


def test_every_rule_is_on_the_page() -> None:
    found = re.findall(r"^\| `\{(\w+): \[([^\]]*)\]\}`", section("Axes by a rule"), re.MULTILINE)
    assert [name for name, _ in found] == list(RULES)
    for name, numbers in found:
        values = [float(n) if "." in n else int(n) for n in numbers.split(", ")]
        assert len(from_spec({name: values}, "x")) > 1


def test_every_method_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Designs"), re.MULTILINE)
    assert rows == list(METHODS)
    assert f"up to {Sobol.most_dimensions} parameters" in section("Designs")
