"""The logbook: what a target writes stays in its run directory, whole, and reads the same."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import grid, ids, yamltext
from hpcsweep.errors import InputError, SweepError
from hpcsweep.logbook import Logbook
from hpcsweep.logbook.checkpoint import Checkpoint
from hpcsweep.logbook.json_values import (
    LEVELS_MAX,
    json_document,
    json_value,
    metric_values,
    with_floats,
)
from hpcsweep.logbook.yamlwrite import params_yaml


@pytest.fixture
def log(tmp_path: Path) -> Logbook:
    (tmp_path / "run").mkdir()
    return Logbook.attached("run", tmp_path / "run")


# --- files ---------------------------------------------------------------------------------------


def test_each_kind_of_file_has_its_place(log: Logbook) -> None:
    log.text("note", "ä\n")
    log.json("table", {"a": [1, np.float64(0.5), float("nan")]})
    log.bytes("raw.bin", b"\0\xff")
    log.array("x", [[1, 2], [3, 4]])
    log["plots/fig.png"].write_bytes(b"png")
    path = log.path
    assert (path / "artifacts" / "note.txt").read_text() == "ä\n"
    assert json.loads((path / "artifacts" / "table.json").read_text()) == {"a": [1, 0.5, None]}
    assert (path / "artifacts" / "raw.bin").read_bytes() == b"\0\xff"
    assert np.load(path / "data" / "x.npy", allow_pickle=False).tolist() == [[1, 2], [3, 4]]
    assert (path / "plots" / "fig.png").read_bytes() == b"png"
    assert sorted(one.name for one in path.iterdir()) == [
        "artifacts",
        "data",
        "log.txt",
        "plots",
    ]


OUTSIDE = ["../x", "../../x", "/etc/x", "a/../../../x", "..", "link/x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leaves_the_run_directory(log: Logbook, tmp_path: Path, name: str) -> None:
    (log.path / "link").symlink_to(tmp_path)
    with pytest.raises(SweepError, match="would leave the directory"):
        log[name]
    writes: list[Callable[[], object]] = [
        lambda: log.bytes(f"../{name}", b"x"),
        lambda: log.text(f"../{name}/x", "x"),
    ]
    for write in writes:
        with pytest.raises(SweepError, match="would leave the directory"):
            write()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("name", ["../x", "/x", "../../x"])
def test_no_array_name_leaves_the_run_directory(log: Logbook, tmp_path: Path, name: str) -> None:
    with pytest.raises(SweepError, match="would leave the directory"):
        log.array(f"../{name}", [1])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run"]


def test_an_object_array_is_no_pickle(log: Logbook) -> None:
    with pytest.raises(ValueError, match="an array cannot be saved"):
        log.array("x", np.array([object()]))
    assert not (log.path / "data" / "x.npy").exists()


def test_a_file_is_there_whole_or_not_at_all(log: Logbook, monkeypatch: pytest.MonkeyPatch) -> None:
    log.text("a", "old")
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(SweepError, match="No space"):
            log.text("a", "new")
    folder = log.path / "artifacts"
    assert (folder / "a.txt").read_text() == "old"
    assert [one.name for one in folder.iterdir()] == ["a.txt"]


def test_without_a_run_directory_there_is_no_place_for_a_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Logbook.attached("run", None)
    log.metric("a", 1)
    log.json("metrics", {"b": 2})
    log.info("hello")
    assert log.metrics == {"a": 1, "b": 2}
    assert capsys.readouterr().out.endswith("INFO hello\n")
    for write in (lambda: log.text("a", ""), lambda: log.json("a", {}), lambda: log["a"]):
        with pytest.raises(InputError, match="keeps no run directories"):
            write()


# --- messages ------------------------------------------------------------------------------------


def test_lines_of_the_log(log: Logbook) -> None:
    log.info("one")
    log.warning("two\nlines")
    log.error("ä\ud800")
    log.debug("")
    lines = (log.path / "log.txt").read_text().splitlines()
    time = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\]"
    patterns = [
        rf"{time} INFO one",
        rf"{time} WARNING two",
        "    lines",
        rf"{time} ERROR ä\\ud800",
        rf"{time} DEBUG ",
    ]
    assert len(lines) == len(patterns)
    assert all(re.fullmatch(p, line) for p, line in zip(patterns, lines, strict=True)), lines


def test_threads_do_not_mix_their_lines(log: Logbook) -> None:
    def write(number: int) -> None:
        for _ in range(50):
            log.info(str(number) * 200)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (log.path / "log.txt").read_text().splitlines()
    assert len(lines) == 200
    assert all(re.fullmatch(r"\[[^\]]+\] INFO (\d)\1{199}", line) for line in lines)


# --- metrics -------------------------------------------------------------------------------------


def test_a_cyclic_value_is_no_json(log: Logbook) -> None:
    cycle: list[Any] = []
    cycle.append({"x": cycle})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (cycle, deep):
        with pytest.raises(InputError, match="holds itself"):
            log.json("x", value)
    assert not (log.path / "artifacts").exists()


def test_while_a_thread_imports_numpy_no_value_is_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beginning = ModuleType("numpy")
    beginning.__spec__ = ModuleSpec("numpy", None)
    monkeypatch.setattr(beginning.__spec__, "_initializing", True, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", beginning)
    with pytest.raises(InputError):
        json_value(object(), "x")
    with pytest.raises(InputError):
        ids.plain(object(), "x")
    Checkpoint(tmp_path).save({"x": 1})
    assert len(grid(x=[1, 2])) == 2


def test_metrics_are_a_union(log: Logbook) -> None:
    log.metric("a", 1)
    log.json("metrics", {"a": 1, "b": np.float64(0.5)})
    log.merge_metrics({"b": 0.5, "c": [True, None]}, "the returned dict")
    assert log.metrics == {"a": 1, "b": 0.5, "c": [True, None]}
    assert json.loads((log.path / "artifacts" / "metrics.json").read_text()) == {
        "a": 1,
        "b": 0.5,
    }


@pytest.mark.parametrize(("first", "second"), [(1, 2), (1, True), (0, None), (1, "1"), ([1], [2])])
def test_a_differing_value_names_both_origins(log: Logbook, first: Any, second: Any) -> None:
    log.metric("energy", first)
    with pytest.raises(InputError) as caught:
        log.merge_metrics({"other": 5, "energy": second}, "the returned dict")
    for word in ("'energy'", repr(first), repr(second), "log.metric", "the returned dict"):
        assert word in str(caught.value)
    assert log.metrics == {"energy": first}  # nothing of the other one


def test_a_conflict_of_large_values_is_shortened_in_the_message(log: Logbook) -> None:
    log.metric("x", "a" * 10**6)
    with pytest.raises(InputError) as caught:
        log.metric("x", "b" * 10**6)
    assert len(str(caught.value)) < 1000


def test_two_nans_are_no_conflict(log: Logbook) -> None:
    log.metric("x", math.nan)
    log.metric("x", -np.float64("nan"))
    assert math.isnan(log.metrics["x"])
    with pytest.raises(InputError, match="inf"):
        log.metric("x", math.inf)


def test_numbers_that_json_lacks_are_kept_in_metrics() -> None:
    given = {
        "a": [math.inf, {"b": -math.inf}],
        "c": {"$float": "nan", "d": 1},
        "e": {"$float": "x"},
    }
    kept = metric_values({**given, "nan": math.nan}, "metrics")
    assert kept["nan"] == {"$float": "nan"}
    assert json.loads(json_document(kept)) == kept
    back = with_floats(kept)
    assert math.isnan(back.pop("nan"))
    assert back == given
    # All metrics of a case would read as one number.
    with pytest.raises(InputError, match=r"no metric can be named \$float"):
        metric_values({"$float": "nan"}, "metrics")


def test_metrics_are_by_name(log: Logbook) -> None:
    with pytest.raises(InputError, match="takes a dict of metrics"):
        log.json("metrics", [1, 2])
    with pytest.raises(InputError, match="keys are strings"):
        log.merge_metrics({(1, 2): 2}, "the returned dict")  # type: ignore[dict-item]


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    LOW = 2


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([1.0, np.inf]), [1.0, None]),
        (np.array(7), 7),
        (math.nan, None),
        (-math.inf, None),
        (2**100, 2**100),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": {"b": ()}}, {"a": {"b": []}}),
        (Path("/a/b"), "/a/b"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        (np.datetime64("2026-01-31T12:00", "ns"), "2026-01-31T12:00:00.000000000"),
        (np.array(["2026-01-31", "NaT"], "M8[ns]"), ["2026-01-31T00:00:00.000000000", None]),
        (np.array("2026-01-31", "M8[s]"), "2026-01-31T00:00:00"),
        (Level.LOW, 2),
        (Colour.RED, 1),
        ({3: 1, None: 2, "a": 3}, {"3": 1, "null": 2, "a": 3}),
        ("a\ud800b", "a\\ud800b"),
        ({"\udcff": 1}, {"\\udcff": 1}),
    ],
)
def test_values_that_json_can_represent(value: Any, plain: Any) -> None:
    found = json_value(value, "x")
    assert found == plain
    assert type(found) is type(plain)
    assert json.loads(json_document(found)) == plain


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({1}, "x"),
        ({"a": [0, {"b": 1j}]}, "x.a[1].b"),
        (b"bytes", "x"),
        ([object()], "x[0]"),
        pytest.param(1 << 20_000, "x", id="a large int"),
        ({"a": {(3,): 1}}, "x.a"),
        ({"a": {3: 1, "3": 2}}, "x.a"),
        ({"not a name": {2}}, "x['not a name']"),
    ],
)
def test_a_value_without_json_form_is_named(value: Any, where: str) -> None:
    with pytest.raises(InputError) as caught:
        json_value(value, "x")
    assert caught.value.where == where


# --- params.yaml ---------------------------------------------------------------------------------

odd_text = st.sampled_from(
    [
        "on",
        "off",
        "y",
        "N",
        "yes",
        "No",
        "true",
        "NULL",
        "~",
        "",
        " ",
        "1e-05",
        "1_000",
        "0x1F",
        "012",
        "1:30",
        ".inf",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "!!str",
        "&a",
        "*a",
        "|",
        ">",
        "%",
        "@",
        "`",
        "'",
        '"',
        "\\",
        "{",
        "[",
        "<<",
        "=",
        "2026-01-01",
        "\x00",
        "\x07",
        "\x1b",
        "\x7f",
        "\x85",
        "\xa0",
        "\u2028",
        "\u2029",
        "\ufeff",
        "\ufffe",
        "😀",
        "a\nb",
        "a\r\nb",
        "\t",
        "---",
    ]
)
texts = odd_text | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e-05, 1e16, 1e22, 5e-324, -0.0, 1.0, 1e100, 123456789012345680.0])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


def same(first: Any, second: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return math.copysign(1, first) == math.copysign(1, second) and first == second
    return bool(first == second)


@given(st.dictionaries(texts, values, max_size=5))
def test_every_yaml_reader_gets_the_same_params(params: dict[str, Any]) -> None:
    text = params_yaml(params)
    assert same(yaml.safe_load(text), params), text  # YAML 1.1, by PyYAML's own rules
    document = yamltext.document(text.decode(), "params.yaml")
    assert same(document.value, params), text  # YAML 1.2, by ours


@given(st.dictionaries(texts, values, max_size=5))
def test_params_yaml_does_not_depend_on_the_order(params: dict[str, Any]) -> None:
    assert params_yaml(dict(reversed(params.items()))) == params_yaml(params)


def test_long_names_and_values() -> None:
    params = {"n" * 2000: {"m" * 2000: 1}, "v": "x y " * 5000}
    assert yaml.safe_load(params_yaml(params)) == params


def test_params_yaml_reads_well() -> None:
    params = {"omega": 1.0, "dt": 1e-05, "name": "on", "on": [1, {"a": None}]}
    assert params_yaml(params).decode() == (
        'dt: 1.0e-05\nname: "on"\nomega: 1.0\n"on": [1, {"a": null}]\n'
    )
    assert params_yaml({}) == b"{}\n"


# --- numbers that are exact, and what is too deep ------------------------------------------------


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (Decimal("0.1"), 0.1),
        (Decimal(3), 3.0),
        (Decimal("1E-400"), 0.0),
        (Fraction(1, 4), 0.25),
        (Decimal("NaN"), {"$float": "nan"}),
        (Decimal("sNaN"), {"$float": "nan"}),
        (Decimal("-Infinity"), {"$float": "-inf"}),
        (Decimal("1E+400"), {"$float": "inf"}),
        ([Decimal("1.5")], [1.5]),
    ],
)
def test_an_exact_number_is_a_number(log: Logbook, number: object, found: object) -> None:
    log.metric("y", number)
    assert log.metrics_json == {"y": found}


def test_a_fraction_beyond_every_float_is_refused(log: Logbook) -> None:
    with pytest.raises(InputError, match="too large a number"):
        log.metric("y", Fraction(10**400, 3))


def nested(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_the_deepest_allowed_nesting_is_accepted_and_one_more_refused(log: Logbook) -> None:
    log.metric("y", nested(LEVELS_MAX - 2))
    assert json.loads(json.dumps(log.metrics)) == {"y": nested(LEVELS_MAX - 2)}
    for value in (nested(LEVELS_MAX - 1), nested(100_000)):
        with pytest.raises(InputError, match="more than 200 levels deep, or holds itself"):
            log.metric("z", value)


def test_a_recursion_of_the_caller_is_reported_as_one(log: Logbook) -> None:

    def down(levels: int) -> None:
        log.metric("y", [1])
        down(levels + 1)

    with pytest.raises(RecursionError):
        down(0)
