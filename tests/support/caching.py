"""A model, its runner, and the cache of them on each kind of database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from hpcsweep import Base, Mapped, Store
from tests.support.backends import Backend

MakeStore = Callable[..., Store[Any]]


class SimResult(Base):
    """The model of the quickstart, with a label that may be left out."""

    __tablename__ = "results"
    n: Mapped[int]
    steps: Mapped[int]
    dt: Mapped[float]
    label: Mapped[Optional[str]]  # noqa: UP045  # read while it runs


class Calls:
    """A runner that writes its params, and remembers them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, params: dict[str, Any]) -> None:
        self.seen.append(params)
        if params.get("label") == "fails":
            raise ValueError("no good")
        Path(params["result_file"]).write_text(json.dumps(params))

    def __len__(self) -> int:
        return len(self.seen)


def simulate(params: dict[str, Any]) -> None:
    """The runner of the quickstart."""
    np.save(params["result_file"], np.ones((params["n"], params["steps"])))


def url_of(direct_backend: Backend) -> str:
    """The `db_url` of a database."""
    return (
        f"sqlite:///{direct_backend.location}"
        if direct_backend.is_file
        else str(direct_backend.location)
    )


@pytest.fixture
def make_store(direct_backend: Backend, tmp_path: Path) -> MakeStore:
    """Make a cache; each of its arguments has a value of its own."""

    def make(runner: Any = None, model: type[Base] = SimResult, **more: Any) -> Store[Any]:
        usual: dict[str, Any] = {"results_dir": tmp_path / "results", "file_suffix": ".json"}
        usual |= {"db_url": url_of(direct_backend)} | more
        return Store(Calls() if runner is None else runner, model, **usual)

    return make
