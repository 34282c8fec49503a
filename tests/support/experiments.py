"""An Experiment, a run added to it that must be a new one, and processes that start at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import Experiment, Logbook

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def exp(tmp_path: Path) -> Experiment:
    """An empty one."""
    return Experiment("e", tmp_path)


def added(exp: Experiment, **params: Any) -> Logbook:
    """A new run of these params."""
    log = exp.add(**params)
    assert log is not None
    return log


def together(work: Callable[[int], None], processes: int) -> None:
    """Run `work(number)` in so many forks at once, and expect each to end well."""
    started = [FORK.Process(target=work, args=(number,)) for number in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
