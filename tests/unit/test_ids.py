"""Identity: canonical text, case ids, seeds, slugs."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import sys
from collections import OrderedDict, namedtuple
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from hpcsweep import ids
from hpcsweep.errors import IdentityError

GOLDEN = json.loads((Path(__file__).parents[1] / "data/golden/ids.json").read_text("utf-8"))

# RFC 8785, appendix B: IEEE 754 bits and the text of the number.
RFC_8785_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


class Colour(Enum):
    RED = "red"
    NESTED = (1, "two")


class Level(IntEnum):
    HIGH = 3


class Text(str, Enum):  # noqa: UP042  # the older spelling, still in people's code
    OLD = "old"


class Mode(StrEnum):
    FAST = "fast"


class Bits(IntFlag):
    BOTH = 3


class Inherited(int):
    def __int__(self) -> int:
        return 999


Point = namedtuple("Point", "x y")  # noqa: PYI024  # the kind of tuple that users have


@pytest.mark.parametrize(("bits", "text"), RFC_8785_NUMBERS)
def test_numbers_of_rfc_8785(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert ids.canonical(number) == text


def test_document_of_rfc_8785() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert ids.canonical(value) == (
        '{"literals":[null,true,false],'
        '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_in_utf_16_order() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]  # RFC 8785, 3.2.3
    assert ids.in_order(keys) == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]
    assert ids.canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (2**53 + 2, "9007199254740994"),
        (10**21, "1e+21"),
        (10**23, "1" + "0" * 23),  # the nearest binary64 is below it
        (10**400, "1" + "0" * 400),  # beyond binary64
        (2**60, "1152921504606847000"),
        (2**60 + 1, "1152921504606846977"),
        (1152921504606847000, "1152921504606847000.0"),  # would otherwise read as 2**60
        (-1152921504606847000, "-1152921504606847000.0"),
    ],
)
def test_big_integers(number: int, text: str) -> None:
    assert ids.canonical(number) == text


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_golden_cases(case: dict[str, Any]) -> None:
    text = ids.canonical(case["params"])
    assert text == case["canonical"]
    assert ids.case_id(case["params"], case["replicate"]) == case["case_id"]
    assert ids.case_id_of(text, case["replicate"]) == case["case_id"]
    assert ids.run_id(text, case["case_id"]) == case["run_id"]


@pytest.mark.parametrize("seed", GOLDEN["seeds"])
def test_golden_seeds(seed: dict[str, Any]) -> None:
    assert ids.case_seed(seed["sweep_seed"], seed["case_id"], seed["replicate"]) == seed["seed"]


@pytest.mark.parametrize("one", GOLDEN["fingerprints"])
def test_golden_fingerprints(one: dict[str, Any]) -> None:
    assert ids.fingerprint(one["value"]) == one["fingerprint"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (1.0, 1.0),
        (True, True),
        (None, None),
        ((1, (2.0,)), [1, [2.0]]),
        (Colour.RED, "red"),
        (Colour.NESTED, [1, "two"]),
        (Level.HIGH, 3),
        (Mode.FAST, "fast"),
        (Text.OLD, "old"),
        (Bits.BOTH, 3),
        (PurePosixPath("a/b"), "a/b"),
        (Path("c"), "c"),
        (Inherited(7), 7),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({Mode.FAST: 1}, {"fast": 1}),
        (np.float64(0.1), 0.1),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
        ({"a": [np.float64(2)]}, {"a": [2.0]}),
    ],
)
def test_plain_values(value: Any, expected: Any) -> None:
    found = ids.plain(value)
    assert found == expected
    assert _types(found) == _types(expected)


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: (type(key), _types(item)) for key, item in value.items()}
    if isinstance(value, list):
        return [_types(item) for item in value]
    return type(value)


def test_plain_is_a_copy() -> None:
    value: dict[str, Any] = {"a": [{"b": [1]}]}
    found = ids.plain(value)
    found["a"][0]["b"].append(2)
    assert value == {"a": [{"b": [1]}]}


def test_a_shared_value_is_not_a_cycle() -> None:
    shared = [1]
    assert ids.plain({"a": shared, "b": [shared, shared]}) == {"a": [1], "b": [[1], [1]]}


LOOP: list[Any] = []
LOOP.append({"again": LOOP})

DEEP: list[Any] = []
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"x": [0, 1, {"y": math.nan}]}, "params.x[2].y", "nan"),
        ({"x": math.inf}, "params.x", "inf"),
        ({"x": (1, -math.inf)}, "params.x[1]", "-inf"),
        ({"a b": {1}}, "params['a b']", "set"),
        ({"x": b"raw"}, "params.x", "bytes"),
        ({"x": object()}, "params.x", "object"),
        ({"x": range(3)}, "params.x", "range"),
        ({"x": Decimal("0.1")}, "params.x", "Decimal"),
        ({"x": {1: 2}}, "params.x", "the key 1 is not text"),
        ({None: 2}, "params", "the key None"),
        ({"x": "\ud800"}, "params.x", "surrogate"),
        ({"\udc00": 1}, "params['\\udc00']", "surrogate"),
        ({"x": PurePosixPath("\udcff")}, "params.x", "surrogate"),
        ({"x": LOOP}, "params.x[0].again", "contains itself"),
        ({"x": DEEP}, "params.x[0]", "nested more than 64"),
        ({"x": 2**2048}, "params.x", "2049 bits"),
        ({"x": np.float32(0.1)}, "params.x", "float32 0.1"),
        ({"x": np.float16(0.1)}, "params.x", "float16"),
        ({"x": np.longdouble(1)}, "params.x", "longdouble"),
        ({"x": np.complex128(1)}, "params.x", "complex128"),
        ({"x": np.timedelta64(1, "s")}, "params.x", "timedelta64"),
        ({"x": np.datetime64("2020-01-01")}, "params.x", "datetime64"),
        ({"x": np.bytes_(b"a")}, "params.x", "bytes_"),
        ({"x": np.float64("nan")}, "params.x", "nan"),
        ({"x": [{"$float": "nan"}]}, "params.x[0]", "stands for a number"),
        ({"$float": "-inf"}, "params", "stands for a number"),
        ({"x": np.array([1.0])}, "params.x", "array"),
        ({"x": np.array(1.0)}, "params.x", "array"),
    ],
)
def test_refusals_name_the_culprit(value: Any, path: str, words: str) -> None:
    for function in (ids.plain, ids.canonical, ids.case_id):
        with pytest.raises(IdentityError) as caught:
            function(value)
        assert caught.value.where.startswith(path)
        assert words in caught.value.what
        assert caught.value.next_step


def test_largest_integer_needs_no_raised_limit() -> None:
    # 640 is the lowest limit that Python accepts.
    code = (
        "import json; from hpcsweep import ids; "
        "t = ids.canonical({'x': -(2**2048 - 1)}); "
        "assert json.loads(t)['x'] == -(2**2048 - 1); ids.run_id(t, '0' * 16)"
    )
    subprocess.run([sys.executable, "-X", "int_max_str_digits=640", "-c", code], check=True)


def test_where_names_the_value() -> None:
    with pytest.raises(IdentityError, match=r"^grid\.x\[3\]: nan"):
        ids.plain(math.nan, "grid.x[3]")


def test_params_are_a_mapping() -> None:
    with pytest.raises(IdentityError, match="list, not a dict"):
        ids.case_id([1])  # type: ignore[arg-type]


def test_equal_params_have_one_id() -> None:
    first = ids.case_id({"a": 1, "b": [0.0, Mode.FAST]})
    assert first == ids.case_id({"b": (-0.0, "fast"), "a": np.float64(1.0)})
    assert first != ids.case_id({"a": True, "b": [0.0, "fast"]})
    assert first != ids.case_id({"a": "1", "b": [0.0, "fast"]})
    assert re.fullmatch("[0-9a-f]{16}", first)


def test_replicates_have_ids_of_their_own() -> None:
    found = [ids.case_id({"a": 1}, replicate) for replicate in range(100)]
    assert len(set(found)) == 100
    assert found[0] == ids.case_id({"a": 1})
    with pytest.raises(IdentityError, match="negative"):
        ids.case_id({"a": 1}, -1)


def test_seeds_differ_in_every_part() -> None:
    found = {
        ids.case_seed(seed, case, replicate)
        for seed in (-1, 0, 1, 10, 2**64, 2**20000)
        for case in ("0" * 16, "1" * 16)
        for replicate in (0, 1, 10)
    }
    assert len(found) == 36
    assert all(0 <= seed < 2**128 for seed in found)
    assert max(found) > 2**120


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("dt=0.001", 60, "dt=0.001"),
        ("a/b c", 60, "a-b-c"),
        ("", 60, "_"),
        (".", 60, "_"),
        ("..", 60, "_"),
        ("../../etc", 60, "etc"),
        ("-rf", 60, "rf"),
        (".hidden", 60, "hidden"),
        ("x" * 100, 60, "x" * 60),
        ("é\x00\n$(rm)", 60, "rm-"),
        ("/" * 50, 1, "_"),
    ],
)
def test_slugs(text: str, limit: int, expected: str) -> None:
    assert ids.slug(text, limit) == expected


def test_run_id_is_a_function_of_the_canonical_form() -> None:
    case = "0123456789abcdef"
    one = ids.run_id(ids.canonical({"omega": 1.0, "dt": 1e-3}), case)
    assert one == "dt=0.001_omega=1-0123456789abcdef"
    assert one == ids.run_id(ids.canonical({"dt": 0.001, "omega": np.int64(1)}), case)
    nested: dict[str, Any] = {
        "a": {"b": [1, 2], "c": {}},
        "d": [],
        "e": None,
        "f": False,
        "g": "x/../y",
    }
    assert ids.run_id(ids.canonical(nested), case) == f"a.b=1+2_d=_e=null_f=false_g=x-..-y-{case}"
    long = ids.run_id(ids.canonical({"x" * 200: "y" * 200}), case)
    assert len(long) == 77
