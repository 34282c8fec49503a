"""The unit and property tests on the Python of each suite: 3.11, 3.13 and 3.14."""

from __future__ import annotations

import pytest

from tests.support.container_cluster import SUITES
from tests.support.suite_image import run_pytest


@pytest.mark.parametrize("version", SUITES)
def test_the_unit_and_property_tests(test_images: frozenset[str], version: str) -> None:
    assert version in test_images

    done = run_pytest(version, "tests/unit", "tests/property")

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
