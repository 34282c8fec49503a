"""`import hpcsweep`: its names, and that each says what it is."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import hpcsweep
from hpcsweep import errors, sources

NAMES = [name for name in hpcsweep.__all__ if name not in ("__version__", "sources")]
FUNCTIONS = {
    "arange",
    "branches",
    "choice",
    "collect",
    "constant",
    "custom",
    "custom_source",
    "design",
    "expand_grid",
    "grid",
    "linspace",
    "list_sweeps",
    "lognormal",
    "logspace",
    "loguniform",
    "loguniform_int",
    "manual",
    "mapped_column",
    "normal",
    "optimize",
    "open",
    "quniform",
    "randint",
    "random",
    "seeds",
    "source_from_manifest_dict",
    "table",
    "to_optuna",
    "truncnormal",
    "uniform",
    "weighted_choice",
    "zip_",
}


def test_dir_shows_the_public_names_and_no_other() -> None:
    assert dir(hpcsweep) == sorted(hpcsweep.__all__)
    assert len(set(hpcsweep.__all__)) == len(hpcsweep.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring(name: str) -> None:
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


def test_an_unknown_name_is_an_attribute_error() -> None:
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


# --- hs.sources ----------------------------------------------------------------------------------


def test_the_package_of_sources_has_all_of_their_names() -> None:
    assert hpcsweep.sources is sources
    assert dir(sources) == sorted(sources.__all__)
    found = {name: getattr(sources, name) for name in sources.__all__}
    public = {
        name for name in NAMES if getattr(hpcsweep, name).__module__.startswith("hpcsweep.sources.")
    }
    assert public <= set(found)
    assert all(getattr(hpcsweep, name) is found[name] for name in public)
    makers = {name for name, value in found.items() if inspect.isfunction(value)}
    assert makers <= public
    with pytest.raises(AttributeError, match=r"'hpcsweep\.sources' has no attribute 'grids'"):
        _ = sources.grids  # type: ignore[attr-defined]


@pytest.mark.parametrize("order", ["sorted(names)", "sorted(names, reverse=True)"])
def test_no_module_shadows_a_maker(order: str) -> None:
    script = f"""
import inspect, pkgutil
from importlib import import_module
from hpcsweep import sources
names = [module.name for module in pkgutil.iter_modules(sources.__path__)]
for name in {order}:
    import_module(f"hpcsweep.sources.{{name}}")
print(*[name for name in sources.__all__ if inspect.ismodule(getattr(sources, name))])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
