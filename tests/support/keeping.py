"""Sweeps by hand whose results a cache keeps, and the Store of a notebook beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from hpcsweep import Base, Mapped, Store
from hpcsweep.manifest.frozen import Cache
from hpcsweep.sources import ParameterSource
from tests.support.sweeps import MadeSweep


class Kept(Base):
    """The model of these sweeps."""

    __tablename__ = "kept"
    x: Mapped[int]
    label: Mapped[Optional[str]]  # noqa: UP045  # read while it runs


TARGET = """\
import os, time
from pathlib import Path

HERE = Path(__file__).parent

def note(x):
    with (HERE / "calls").open("a") as stream:
        stream.write(f"{x}\\n")

def run(x, result_file):
    note(x)
    Path(result_file).write_text(f"result of {x}")
    if x == 13:
        raise ValueError("bad luck")
    while x == 7 and not (HERE / "free").exists():
        time.sleep(0.02)
    return {"twice": 2 * x}

def runner(whatever):
    note(whatever["x"])
    Path(whatever["result_file"]).write_text(f"{whatever['x']} {whatever['id']}")

def nothing(x, result_file):
    note(x)
"""


def kept(root: Path, source: ParameterSource, function: str = "run", **more: Any) -> MadeSweep:
    """A sweep whose results are in `root/results`."""
    cache = Cache(results_dir="results", file_suffix=".txt", **{"use_cache": True} | more)
    python = TARGET + f"\n{function}, run = run, {function}\n" * (function != "run")
    made = MadeSweep(root, source, python=python, cache=cache)
    made.plan()
    return made


def store(root: Path, runner: Any = None) -> Store[Kept]:
    """The Store of a notebook beside it."""

    def noting(params: dict[str, Any]) -> None:
        with (root / "calls").open("a") as stream:
            stream.write(f"{params['x']}\n")
        Path(params["result_file"]).write_text(f"result of {params['x']}")

    url = f"sqlite:///{root}/kept.sqlite3"
    return Store(runner or noting, Kept, root / "results", ".txt", url)


def calls(root: Path) -> list[int]:
    """The x of every call of a target or a runner, sorted."""
    path = root / "calls"
    return sorted(map(int, path.read_text().split())) if path.exists() else []
