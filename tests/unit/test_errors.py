"""The tree of errors is the one that is drawn, and each says what, where and what next."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import cast

import pytest

from hpcsweep import errors
from hpcsweep.errors import HpcsweepError, InputError, ManifestError, RunExists

# All exceptions; a test below fails for one that is not in the tree.
CLASSES = cast(
    "dict[str, type[HpcsweepError]]",
    {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    },
)


def drawn() -> dict[str, tuple[str | None, list[str], int | None]]:
    """Parent, further bases and exit code of each class in the drawing."""
    tree: dict[str, tuple[str | None, list[str], int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([ │├└─]*)([A-Z]\w+)(?: \(([\w, ]+)\))?\s*(\d+)?(?:\s|$)", line)
        if not line.startswith("    ") or not match:
            continue
        depth, name, code = len(match[1]), match[2], match[4]
        further = match[3].split(", ") if match[3] else []
        above = [pair for pair in above if pair[0] < depth]
        tree[name] = (above[-1][1] if above else None, further, int(code) if code else None)
        above.append((depth, name))
    return tree


def test_every_error_is_drawn() -> None:
    assert drawn().keys() == CLASSES.keys()
    assert len(CLASSES) > 10


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_stands_where_it_is_drawn(name: str) -> None:
    parent, further, code = drawn()[name]
    error = CLASSES[name]
    assert [base.__name__ for base in error.__bases__] == [parent or "Exception", *further]
    inherited = CLASSES[parent].exit_code if parent else None
    assert error.exit_code == (code if code is not None else inherited)


def test_each_branch_has_an_exit_code_of_its_own() -> None:
    """0 is success, 1 an error of no branch, 2 click's, 75 the worker's when it is told to end."""
    codes = [code for _, _, code in drawn().values() if code is not None]
    assert len(set(codes)) == len(codes)
    assert set(codes).isdisjoint({0, 2, 75})
    assert max(codes) < 64


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_says_what_where_and_what_next(name: str) -> None:
    error = CLASSES[name]("it broke", where="m.yaml:3", next_step="Mend it.")
    assert str(error) == "m.yaml:3: it broke\n  Mend it."
    assert str(CLASSES[name]("it broke")) == "it broke"
    assert (error.what, error.where, error.next_step) == ("it broke", "m.yaml:3", "Mend it.")
    assert isinstance(error, HpcsweepError)


def test_a_manifest_error_lists_every_mistake() -> None:
    error = ManifestError("2 mistakes", where="m.yaml", mistakes=("a: no", "b: no"))
    assert str(error) == "m.yaml: 2 mistakes\n  - a: no\n  - b: no"


def test_errors_are_also_the_usual_python_ones() -> None:
    with pytest.raises(ValueError, match="x"):
        raise InputError("x")
    with pytest.raises(FileExistsError):
        raise RunExists("x")


def test_only_errors_that_may_pass_are_transient() -> None:
    transient = {name for name, error in CLASSES.items() if error.transient}
    assert transient == {"SweepBusy", "ClusterUnavailable"}


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_survives_a_process_boundary(name: str) -> None:
    """As a process pool in a user's notebook would hand it on."""
    error = pickle.loads(pickle.dumps(CLASSES[name]("w", where="x", next_step="y")))  # noqa: S301
    assert type(error) is CLASSES[name]
    assert str(error) == "x: w\n  y"


def test_the_page_of_errors_has_the_whole_tree() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
    told = re.findall(r"^\| (·? ?)`(\w+)` \| (\d+) \|", page, re.MULTILINE)
    assert [(name, int(code)) for _, name, code in told] == [
        (name, error.exit_code) for name, error in CLASSES.items()
    ]
    branches = {name for mark, name, _ in told if not mark}
    assert branches == {"HpcsweepError", *(one.__name__ for one in HpcsweepError.__subclasses__())}
