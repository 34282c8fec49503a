"""An Experiment, and a run added to it that must be a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep import Experiment, Logbook


@pytest.fixture
def exp(tmp_path: Path) -> Experiment:
    """An empty one."""
    return Experiment("e", tmp_path)


def added(exp: Experiment, **params: Any) -> Logbook:
    """A new run of these params."""
    log = exp.add(**params)
    assert log is not None
    return log
