"""What a test needs of its machine: without it the test is skipped, which in CI is a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

import pytest


def require(what: str, reason: str) -> None:
    """Skip the test if there is a reason, such as `needs X: apt-get install x`; in CI, fail."""
    if reason and os.environ.get("CI", "") in ("true", "1"):
        pytest.fail(f"in CI no test is skipped for want of {what}; this one {reason}")
    if reason:
        pytest.skip(reason)


def to_install(packages: Mapping[str, str], path: str) -> str:
    """The packages, by the program that shows whether one is there, of which `path` lacks it."""
    missing = {package for name, package in packages.items() if not shutil.which(name, path=path)}
    return " ".join(sorted(missing))


@pytest.fixture
def strace() -> None:
    """It is there."""
    require("strace", "" if shutil.which("strace") else "needs strace: apt-get install strace")
