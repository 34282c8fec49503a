"""YAML 1.2 and JSON as people write them: values, lines, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpcsweep import yamltext
from hpcsweep.errors import ManifestError

SCALARS: list[tuple[str, Any]] = [
    # Numbers that YAML 1.1 takes for texts, and texts that it takes for numbers or booleans.
    ("1e-3", 0.001),
    ("1E5", 100000.0),
    ("-1.5e+2", -150.0),
    (".5", 0.5),
    ("1.", 1.0),
    ("1.0", 1.0),
    ("-0.0", -0.0),
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("No", "No"),
    ("y", "y"),
    ("1:30", "1:30"),
    ("00:30:00", "00:30:00"),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("2024-01-31", "2024-01-31"),
    ("2024-01-31 10:00:00", "2024-01-31 10:00:00"),
    ("=", "="),
    # Integers.
    ("0", 0),
    ("-17", -17),
    ("+17", 17),
    ("017", 17),
    ("0o17", 15),
    ("0x1F", 31),
    ("0x1G", "0x1G"),
    ("0o8", "0o8"),
    ("-0x1F", "-0x1F"),
    ("12345678901234567890123", 12345678901234567890123),
    # Words.
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("tRue", "tRue"),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("nULL", "nULL"),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("e5", "e5"),
    ("1e", "1e"),
    (".", "."),
    ("+", "+"),
    ("1.2.3", "1.2.3"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = yamltext.scalar(text)
    assert (type(found), found) == (type(value), value)
    if isinstance(value, float):
        assert math.copysign(1, found) == math.copysign(1, value)
    if text not in ("=", "tRue") and not text.startswith("2024"):
        in_file = yamltext.document(f"key: {text}\n", "m.yaml").value["key"]
        assert (type(in_file), in_file) == (type(value), value)


def test_nan_is_a_number_here_and_quoted_scalars_are_texts() -> None:
    assert math.isnan(yamltext.scalar(".nan"))
    document = yamltext.document('["1", \'1e-3\', "true", !!str 1]', "m.yaml")
    assert document.value == ["1", "1e-3", "true", "1"]


def test_both_parsers_of_the_yaml_package_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x [1, {b: 'c'}]\nd: *x\ne: |\n  two\n  lines\nf:\n"
    fast = yamltext.document(text, "m.yaml")
    monkeypatch.setattr(yamltext, "_Loader", yaml.SafeLoader)
    slow = yamltext.document(text, "m.yaml")
    assert slow.value == fast.value
    assert slow.where(("d", 1, "b")) == fast.where(("d", 1, "b")) == "m.yaml:1"


YAML_TEXT = """\
# a comment
name: x
source:
  grid:
    dt: [1e-3,
      2.0]
    on: &shared
      - a
      - b
    off: *shared
"""
JSON_TEXT = """\

{"name": "x", "source":
  {"grid": {
    "dt": [1e-3,
      2.0, "]\\""],
\t"on": {}, "deep": [[1], [2,
 3]]}}}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("name",), 2),
        (("source",), 3),
        (("source", "grid", "dt"), 5),
        (("source", "grid", "dt", 0), 5),
        (("source", "grid", "dt", 1), 6),
        (("source", "grid", "on", 1), 9),
        (("source", "grid", "off"), 10),
        (("source", "grid", "off", 1), 9),
        # The nearest parent, where there is nothing.
        (("name", "x", 3), 2),
        (("source", "nope"), 3),
        (("source", "grid", "dt", 7), 5),
        (("source", "grid", "dt", "x"), 5),
        (("nope",), 2),
    ],
)
def test_lines_in_yaml(path: tuple[str | int, ...], line: int) -> None:
    assert yamltext.document(YAML_TEXT, "d/m.yaml").where(path) == f"d/m.yaml:{line}"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("name",), 2),
        (("source",), 2),
        (("source", "grid"), 3),
        (("source", "grid", "dt"), 4),
        (("source", "grid", "dt", 1), 5),
        (("source", "grid", "on"), 6),
        (("source", "grid", "deep", 0, 0), 6),
        (("source", "grid", "deep", 1, 1), 7),
        (("source", "grid", "dt", 7), 4),
        (("source", "grid", "on", "x"), 6),
        (("source", 0), 2),
        (("nope",), 2),
    ],
)
def test_lines_in_json(path: tuple[str | int, ...], line: int) -> None:
    assert yamltext.json_document(JSON_TEXT, "m.json").where(path) == f"m.json:{line}"


def test_yaml_and_json_of_the_same_content_are_the_same() -> None:
    text = '{"a": [1, 1.0, -0.0, "x\\u00e9\\/", true, null, {"b": []}], "c": 1e-3}'
    assert repr(yamltext.document(text, "m.yaml").value) == repr(
        yamltext.json_document(text, "m.json").value
    )


BILLION = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
LONG_TEXT = f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 200)}]\n"
# 60 lists in each of 40 anchors: none deeper than the limit as written, 2,400 as meant.
DEEP_ALIASES = "a0: &a0 x\n" + "".join(
    f"a{i}: &a{i} {'[' * 60}*a{i - 1}{']' * 60}\n" for i in range(1, 41)
)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "m.yaml:3", "'a' is there twice (first in line 1)"),
        ("x:\n  - {a: 1,\n     a: 2}\n", "m.yaml:3", "'a' is there twice (first in line 2)"),
        ("a:\n\t- 1\n", "m.yaml:2:1", "a tab is used as indentation"),
        ("a:\n  b: 1\n \tc: 2\n", "m.yaml:3", "tab"),
        ("a: [1,\n", "m.yaml:2", "is not YAML"),
        ("a: b: c\n", "m.yaml:1", "is not YAML"),
        ("a: 'x\n", "m.yaml", "is not YAML"),
        ("a: @x\n", "m.yaml:1", "is not YAML"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "m.yaml:2", "python/object/apply"),
        ("a: !!python/name:os.system\n", "m.yaml:1", "the tag"),
        ("a: !include other.yaml\n", "m.yaml:1", "the tag !include is not known"),
        ("a: ! 2\n", "m.yaml:1", "the tag ! is not known"),
        ("a: !!int x\n", "m.yaml:1", "the tag"),
        ("a: !!set {x}\n", "m.yaml:1", "the tag"),
        ("a: &x [*x]\n", "m.yaml:1", "the value of &x contains itself"),
        ("a: &x {b: *x}\n", "m.yaml:1", "the value of &x contains itself"),
        ("x: *y\n", "m.yaml", "*y"),
        ("a: 1e999\n", "m.yaml:1", "1e999 is beyond"),
        (f"a: {'9' * 5000}\n", "m.yaml:1", "4300 digits"),
        ("1: 2\n", "m.yaml:1", "the key 1 is not a text"),
        ("true: 2\n", "m.yaml:1", "the key true is not a text"),
        ("? [a]\n: 3\n", "m.yaml:1", "a key is a list"),
        ("a: &x b\n*x : c\n", "m.yaml:2", "a key is a list, a mapping or an alias"),
        ("<<: {a: 1}\n", "m.yaml:1", "merge key"),
        ("a: 1\n---\nb: 2\n", "m.yaml:2", "second document"),
        ("a: 1\nb: \x01\n", "m.yaml:2", "control character"),
        ('a: "\\ud800"\n', "m.yaml", ""),
        ("a: [0,\u00a02]\n", "m.yaml:1", "looks like 2, but has the character U+00A0 NO-BREAK"),
        ("a:\n- \u22121e-3\n", "m.yaml:2", "looks like -1e-3, but has the character U+2212 MINUS"),
        ("a: 1.5\u200b\n", "m.yaml:1", "looks like 1.5, but has the character U+200B ZERO WIDTH"),
        ("a: \uff11\uff12\n", "m.yaml:1", "looks like 12, but has the character U+FF11 FULLWIDTH"),
        ("[" * 101 + "]" * 101, "m.yaml", "nested more than 100 deep"),
        ("[" * 100_000 + "]" * 100_000, "m.yaml", "nested more than 100 deep"),
        (DEEP_ALIASES, "m.yaml", "nested more than 100 deep"),
        (BILLION, "m.yaml:6", "the aliases stand for more than 1,000,000 values"),
        (LONG_TEXT, "m.yaml:2", "the aliases stand for more than 1,000,000 values"),
    ],
)
def test_yaml_that_is_refused_with_its_line(text: str, where: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        yamltext.document(text, "m.yaml")
    assert caught.value.where.startswith(where)
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('{"a": 1,\n"a": 2}', "m.json:2", "'a' is there twice (first in line 1)"),
        ('[{"x": {"a": 1}},\n\t{"a": 1,\n"a": 2}]', "m.json:3", "'a' is there twice"),
        ('{"b": "NaN",\n "a": [NaN]}', "m.json:2", "NaN is not a JSON number"),
        ('{"a":\n\n-Infinity}', "m.json:3", "-Infinity is not a JSON number"),
        ('{"a": 1,\n "b": 1e999}', "m.json:2", "1e999 is beyond"),
        (f'{{"a":\n {"9" * 5000}}}', "m.json:2", "4300 digits"),
        ('{"a": 1,}', "m.json:1:", "is not JSON"),
        ('{"a": 1\n "b": 2}', "m.json:2:2", "is not JSON: Expecting ',' delimiter"),
        ("{'a': 1}", "m.json:1:2", "is not JSON"),
        ('{"a": "\\ud800"}', "m.json", "half a surrogate pair"),
        ("[" * 101 + "]" * 101, "m.json", "nested more than 100 deep"),
        ("[" * 100_000 + "]" * 100_000, "m.json", "nested more than 100 deep"),
    ],
)
def test_json_that_is_refused_with_its_line(text: str, where: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        yamltext.json_document(text, "m.json")
    assert caught.value.where.startswith(where)
    assert words in caught.value.what


@pytest.mark.parametrize(
    "text",
    ["\u22121 m", "2020\u20132024", "'\u22121'", '"\u00a02"', "x\u00b2", "\u2013", "na\u00efve"],
)
def test_other_texts_may_have_such_characters(text: str) -> None:
    assert yamltext.document(f"a: {text}", "m.yaml").value == {"a": text.strip("'\"")}


def test_a_file_of_a_program_has_the_texts_that_were_written() -> None:
    assert yamltext.document("a: \u22121", "p.yaml", is_typed=False).value == {"a": "\u22121"}


def test_limit_of_depth_and_of_aliases_from_below() -> None:
    nested = "[" * 100 + "]" * 100
    assert yamltext.document(nested, "m").value == yamltext.json_document(nested, "m").value
    # 999 times a list of 1,000 texts (1,001 values); one more list is beyond the limit.
    shared = f"a: &a [{', '.join(['x'] * 1000)}]\n"
    document = yamltext.document(shared + f"b: [{', '.join(['*a'] * 999)}]\n", "m.yaml")
    assert len(document.value["b"]) == 999
    with pytest.raises(ManifestError, match="aliases stand for"):
        yamltext.document(shared + f"b: [{', '.join(['*a'] * 1000)}]\n", "m.yaml")


def test_each_alias_is_a_value_of_its_own() -> None:
    value = yamltext.document("a: &a {x: []}\nb: *a\n", "m.yaml").value
    value["b"]["x"].append(1)
    assert value["a"] == {"x": []}


def test_a_surrogate_pair_in_json_is_one_character() -> None:
    assert yamltext.json_document('{"a": "\\ud83d\\ude00"}', "m.json").value == {"a": "\U0001f600"}


@pytest.mark.parametrize("name", ["m.yaml", "m.yml", "m.json"])
def test_load_reads_by_suffix_and_names_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes('\ufeff{"a":\n 1}\n'.encode())
    document = yamltext.load(path)
    assert document.value == {"a": 1}
    assert document.where(("a",)) == f"{path}:1"


@pytest.mark.parametrize("name", ["m.yaml", "m.json"])
@pytest.mark.parametrize("content", ["", "  \n\n", "\ufeff"])
def test_an_empty_file_is_null(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    document = yamltext.load(path)
    assert document.value is None
    assert document.where(("a",)) == f"{path}:1"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(path: Path) -> ManifestError:
        with pytest.raises(ManifestError) as caught:
            yamltext.load(path)
        return caught.value

    assert problem(tmp_path / "no.yaml").what == "there is no such file"
    assert problem(tmp_path).what == "is a directory"
    assert "File name too long" in problem(tmp_path / ("x" * 300 + ".yaml")).what
    (tmp_path / "m.txt").write_text("a: 1")
    assert problem(tmp_path / "m.txt").what == "has the suffix '.txt'"
    (tmp_path / "m").write_text("a: 1")
    assert problem(tmp_path / "m").what == "has no suffix"
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    assert problem(tmp_path / "latin.yaml").where.endswith("latin.yaml:2")
    monkeypatch.setattr(yamltext, "FILE_BYTES_MAX", 4)
    (tmp_path / "four.yaml").write_text("a: 1")
    assert yamltext.load(tmp_path / "four.yaml").value == {"a": 1}
    (tmp_path / "five.yaml").write_text("a: 12")
    assert "is larger than" in problem(tmp_path / "five.yaml").what


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("targt", ["name", "target"], "target"),
        ("partiton", ["partition", "time"], "partition"),
        ("zzz", ["name", "target"], None),
    ],
)
def test_nearest(word: str, known: list[str], expected: str | None) -> None:
    assert yamltext.nearest(word, known) == expected
