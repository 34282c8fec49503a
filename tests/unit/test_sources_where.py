"""`where`: which cases are left, what a condition may say, and what a task reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep.conditions.names import unknown_name
from hpcsweep.errors import Damaged, SourceError
from hpcsweep.manifest import user
from hpcsweep.sources import (
    ParameterSource,
    filtering,
    grid,
    linspace,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
)
from hpcsweep.yamltext import Document


def ids_of(source: ParameterSource) -> list[str]:
    return [case.case_id for case in source]


def test_a_filter_changes_no_case_id_and_no_draw() -> None:
    source = grid(n=[1, 2, 3]) * random({"x": uniform(0, 1)}, n_trials=20, seed=1)
    left = source.where("x * n < 1 and x > 0.1")
    assert 0 < left.n_cases < source.n_cases
    expected = [case for case in source if 0.1 < case.params["x"] < 1 / case.params["n"]]
    assert ids_of(left) == [case.case_id for case in expected]
    assert left.repeat(2).filter_notes() == [
        f"x * n < 1 and x > 0.1: {left.n_cases} of {source.n_cases} cases"
    ]


def test_axes_that_no_condition_names_may_be_of_any_length() -> None:
    source = grid(a=range(6), b=linspace(0, 1, 10**15), c=range(6), d=range(4), e=range(4))
    left = source.where("a < c and d < e and a != 3 and e in [1, 2]")
    pairs = [(a, c) for a in range(6) for c in range(6) if a < c and a != 3]
    others = [(d, e) for d in range(4) for e in (1, 2) if d < e]
    assert left.n_cases == len(pairs) * 10**15 * len(others)
    for index in (0, 1, 12_345_678_901_234_567, left.n_cases - 1):
        params = left[index].params
        assert left.find(params) == index
        assert (params["a"], params["c"]) in pairs
        assert (params["d"], params["e"]) in others
    assert left.find(source[0].params) is None
    # In the order of the grid.
    indices = (0, 1, 10**15, 10**16 + 1, left.n_cases - 1)
    places = [source.find(left.params(index)) or 0 for index in indices]
    assert places == sorted(places)


MIXED = manual(
    [{"n": 0, "s": "a", "z": None}, {"n": 2, "s": 5, "z": 1, "l": [1, 2]}, {"n": 3, "b": True}]
)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("s == 'a'", [0]),
        ("s != 'a'", [1]),  # a case without the parameter is not unequal, as in `collect --where`
        ("s == None", [2]),
        ("s != None", [0, 1]),
        ("z == None", [0, 2]),
        ("z < 2", [1]),
        ("not z < 2", [0, 2]),
        ("b == True", [2]),
        ("b == 1 or n == 0", [0]),
        ("l != 1", [1]),
        ("l == l", [1]),
        ("n != 0 and 6 / n == 3", [1]),
        ("z + n > 1", [1]),
        ("-n <= -2", [1, 2]),
        ("n % 2 == 1", [2]),
        ("1 < n <= 3 and `n` in [2, 9]", [1]),
        ("n == 2.0", [1]),
    ],
)
def test_the_meaning_of_a_condition(condition: str, kept: list[int]) -> None:
    assert [case.params for case in MIXED.where(condition)] == [MIXED[i].params for i in kept]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("m < 1", "'m' is not a parameter\n  Parameters: b, l, n, s, z."),
        ("b == true", "Truth values and null are True, False and None."),
        ("b == nan", "Write isnan(x)"),
        ("n <", "does not parse"),
        (f"n{' + 1' * 100} > 0", "nested too deeply"),
        ("n", "'n' is not a comparison"),
        ("__import__('os').system('x')", "is not a comparison"),
        ("1 < 2", "'1 < 2' is not a comparison"),
        ("n < None", "'n < None' is not a comparison"),
        ("n ** 2 < 1", "is not a comparison"),
        ("n + 'a' == 2", "is not a comparison"),
        ("n < 'a'", "\"n < 'a'\" compares 0 with 'a'"),
        ("b < 1", "compares True with 1"),
        ("1 / n < 2", "'1 / n' cannot be computed with 1 and 0: division by zero"),
        ("1 % n < 2", "cannot be computed with 1 and 0"),
        ("s * 2 < 2", "'s * 2' computes with 'a', which is not a number"),
        ("n > 5", "the condition 'n > 5' keeps none of 3 cases"),
        (7, "7 is not a text"),
    ],
)
def test_a_mistake_in_a_condition_is_a_sentence(condition: Any, message: str) -> None:
    with pytest.raises(SourceError) as error:
        MIXED.where(condition)
    assert message in str(error.value)


def test_a_list_has_thousands_of_values() -> None:
    source = grid(s=[f"sample {i}" for i in range(3000)], n=[1, 2])
    wanted = [f"sample {i}" for i in range(0, 3000, 2)]
    assert source.where(f"s in {wanted} and n in [2.0, True]").n_cases == 1500


def test_a_message_has_the_names_in_backticks() -> None:
    names = [f"a {i}" for i in range(12)]
    text = " and ".join(f"`{name}` > 0" for name in names[:-1]) + " and f(`a 11`)"
    with pytest.raises(SourceError, match=r"f\(a 11\)"):
        manual([dict.fromkeys(names, 1)]).where(text)


def test_a_condition_is_not_evaluated_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    source = grid(a=range(10**9), b=range(4), c=range(5))
    with pytest.raises(SourceError, match="ties a together, which have 1000000000 combinations"):
        source.where("a < 5")
    monkeypatch.setattr(filtering, "EVALUATED_MAX", 19)
    with pytest.raises(SourceError, match="ties b, c together, which have 20 combinations"):
        source.where("b < c")
    # What filters an axis alone goes first.
    assert source.where("b < c and b > 0").n_cases == 6 * 10**9


def test_a_task_reads_what_a_condition_keeps(tmp_path: Path) -> None:
    left = grid(x=range(200), y=range(200)).where("x < y")
    left.write_frozen(tmp_path)
    (file,) = tmp_path.iterdir()
    frozen = left.to_frozen_dict()
    assert ids_of(source_from_manifest_dict(frozen, tmp_path)) == ids_of(left)
    with pytest.raises(SourceError, match="only a frozen manifest"):
        source_from_manifest_dict(frozen)
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.write_bytes(data)
    with pytest.raises(Damaged, match="was changed"):
        source_from_manifest_dict(frozen, tmp_path)
    (kept,) = frozen["kept"]
    kept["file"] = "../other"
    with pytest.raises(SourceError, match="is not a file of a frozen manifest"):
        source_from_manifest_dict(frozen, tmp_path)


def test_a_frozen_condition_of_another_source_is_refused() -> None:
    frozen = grid(x=range(5), y=range(6)).where("x < y and x > 0").to_frozen_dict()
    del frozen["total_cases"]
    frozen["source"] = grid(x=range(5), y=range(7)).to_manifest_dict()
    with pytest.raises(SourceError, match="tried on 24 combinations, but the source has 28"):
        source_from_manifest_dict(frozen, Path())


def test_a_filter_of_a_filter() -> None:
    source = grid(a=range(1000), b=linspace(0, 1, 10**12), c=range(6), d=range(6))
    left = source.where("a < 3 and c > 1").where("a < c - 1 and d == a")
    assert left.n_cases == (4 + 3 + 2) * 10**12
    assert left[0].params == {"a": 0, "b": 0.0, "c": 2, "d": 0}
    assert left[-1].params == {"a": 2, "b": 1.0, "c": 5, "d": 2}
    assert left.find(left[12345].params) == 12345
    assert len(left.filter_notes()) == 2


def test_where_stands_beside_a_source(tmp_path: Path) -> None:
    text = {
        "name": "s",
        "command": ["echo", "{a}", "{b}"],
        "source": {"grid": {"a": [1, 2, 3]}, "fixed": {"b": 2}, "where": "a < b", "take": 0},
    }
    document = Document(value=text, name="m.yaml", line=lambda _: 1)
    _, source = user.resolve(document, tmp_path / "m.yaml")
    assert [case.params for case in source] == [{"a": 1, "b": 2}]


def test_the_mean_of_a_metric_is_proposed() -> None:
    error = unknown_name("loss", ["loss_n", "loss_mean"], "--columns", "column")
    assert "Did you mean loss_mean?" in str(error)
