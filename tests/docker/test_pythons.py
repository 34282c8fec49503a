"""The unit and property tests on the Pythons of the newer suites, 3.13 and 3.14.

The oldest suite's Python 3.11 is the one that `make test` runs them on.
"""

from __future__ import annotations

import pytest

from tests.support.container_cluster import SUITES
from tests.support.suite_image import run_pytest


@pytest.mark.parametrize("version", tuple(SUITES)[1:])
def test_the_unit_and_property_tests(test_images: frozenset[str], version: str) -> None:
    assert version in test_images

    done = run_pytest(version, "tests/unit", "tests/property", options=("--network=none",))

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
