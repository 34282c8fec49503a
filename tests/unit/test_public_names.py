"""`import hpcsweep`: its names, and that each says what it is."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import hpcsweep
from hpcsweep import errors

NAMES = [name for name in hpcsweep.__all__ if name != "__version__"]
FUNCTIONS = {
    "arange",
    "choice",
    "constant",
    "custom",
    "custom_source",
    "design",
    "expand_grid",
    "grid",
    "linspace",
    "lognormal",
    "logspace",
    "loguniform",
    "loguniform_int",
    "manual",
    "mapped_column",
    "normal",
    "quniform",
    "randint",
    "random",
    "seeds",
    "source_from_manifest_dict",
    "table",
    "truncnormal",
    "uniform",
    "weighted_choice",
    "zip_",
}


def test_dir_shows_the_public_names_and_no_other() -> None:
    assert dir(hpcsweep) == sorted(hpcsweep.__all__)
    assert len(set(hpcsweep.__all__)) == len(hpcsweep.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is(name: str) -> None:
    value = getattr(hpcsweep, name)
    assert inspect.isfunction(value) if name in FUNCTIONS else inspect.isclass(value)
    assert value.__name__ == name
    # A class without a docstring has None, a dataclass its signature.
    assert (value.__doc__ or "").strip()
    assert not value.__doc__.startswith(f"{name}(")


def test_every_error_is_public() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.HpcsweepError)
    }
    assert tree <= set(NAMES)


def test_the_version_is_the_one_that_was_installed() -> None:
    command = [sys.executable, "-m", "pip", "show", "hpcsweep"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"\nVersion: {hpcsweep.__version__}\n" in done.stdout


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'hpcsweep' has no attribute 'grids'"):
        _ = hpcsweep.grids  # type: ignore[attr-defined]


def test_names_load_when_they_are_used() -> None:
    script = """
import sys, hpcsweep
before = [name for name in sys.modules if name.startswith("hpcsweep")]
hpcsweep.grid
print(before, "hpcsweep.sources" in sys.modules, "grid" in vars(hpcsweep))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['hpcsweep'] True True\n"
