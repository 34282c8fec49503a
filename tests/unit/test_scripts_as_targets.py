"""Functions of programs that read a command line, and what such programs return."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from hpcsweep import target
from hpcsweep.errors import InputError, TargetError
from hpcsweep.logbook.json_values import json_value
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.sources import grid
from hpcsweep.worker.function import _as_metrics
from tests.support.sweeps import MadeSweep

PARSES = """\
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
at_import = parser.parse_args()

def run(x):
    return {"rate": at_import.rate + parser.parse_args().rate, "argv": sys.argv}
"""


@pytest.mark.parametrize("isolation", ["case", "task"])
def test_a_parser_of_a_command_line_finds_its_defaults(tmp_path: Path, isolation: str) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=PARSES, isolation=isolation)
    made.plan()
    made.run()
    ends = made.ends()
    assert [ends[index]["metrics"]["rate"] for index in (0, 1)] == [1.0, 1.0]
    (program,) = ends[1]["metrics"]["argv"]
    assert program.endswith(".py")


@pytest.mark.parametrize("decorator", ["command", "group"])
def test_a_command_of_click_is_no_function(tmp_path: Path, decorator: str) -> None:
    (tmp_path / "cli_of_click.py").write_text(
        f"import click\n@click.{decorator}()\n@click.option('--x')\ndef run(x): pass\n"
    )
    named = Target(file="cli_of_click.py", function="run")
    manifest = FrozenManifest(name="s", root=str(tmp_path), target=named, source={})
    with pytest.raises(TargetError, match="reads its arguments from a command line"):
        target.load(manifest)


class Loss:
    """A scalar of PyTorch or JAX."""

    ndim = 0

    def item(self) -> float:
        return 0.25


class Vector(Loss):
    ndim = 1

    def tolist(self) -> list[float]:
        return [0.25]


def test_an_array_without_dimensions_is_its_number() -> None:
    assert json_value({"loss": Loss()}, "metrics") == {"loss": 0.25}
    with pytest.raises(InputError, match=r"a Vector is not a JSON value(.|\n)*tolist"):
        json_value({"loss": Vector()}, "metrics")


def test_missing_values_of_pandas_and_numpy_are_null() -> None:
    values = [pandas.NA, pandas.NaT, numpy.datetime64("NaT", "s"), numpy.timedelta64("NaT", "s")]
    values += [pandas.Timestamp(2020, 1, 2)]
    assert json_value(values, "metrics") == [None, None, None, None, "2020-01-02T00:00:00"]


@pytest.mark.parametrize("name", ["NAType", "NaTType"])
def test_a_class_of_the_user_with_a_name_of_pandas_is_no_missing_value(name: str) -> None:
    with pytest.raises(InputError, match=f"a {name} is not a JSON value"):
        json_value(type(name, (), {})(), "metrics")


@dataclass
class Result:
    energy: float


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (timedelta(seconds=3), "total_seconds"),
        (numpy.timedelta64(5, "s"), 'timedelta64.1, "s"'),
        (numpy.timedelta64(5, "ns"), 'timedelta64.1, "s"'),
        (numpy.array([5], "m8[ns]"), 'timedelta64.1, "s"'),
        (numpy.timedelta64(5, "Y"), "astype"),
        (1 + 2j, "imag"),
        ({1, 2}, "sorted"),
        (Result(1.0), "asdict"),
        (numpy.longdouble(1), r"float\("),
    ],
)
def test_a_refused_metric_says_how_to_report_it(value: Any, advice: str) -> None:
    with pytest.raises(InputError, match=rf"is not a JSON value(.|\n)*{advice}"):
        json_value({"v": value}, "metrics")


Pair = namedtuple("Pair", "energy")  # noqa: PYI024  # as people write it


@pytest.mark.parametrize(
    ("result", "advice"),
    [(Result(1.0), r"dataclasses\.asdict"), (Pair(1.0), r"\._asdict"), (1.0, "name, or nothing")],
)
def test_what_is_no_dict_of_metrics(result: Any, advice: str) -> None:
    with pytest.raises(InputError, match=f"not a dict of metrics(.|\n)*{advice}"):
        _as_metrics(result)
