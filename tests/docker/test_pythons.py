"""The unit and property tests on the Pythons of the newer suites, 3.13 and 3.14.

`make test` runs them on 3.11, the Python of the oldest suite.
"""

from __future__ import annotations

import pytest

from tests.support.suite_image import NEWER, run_pytest


@pytest.mark.parametrize("version", NEWER)
def test_the_unit_and_property_tests(test_images: frozenset[str], version: str) -> None:
    assert version in test_images

    done = run_pytest(version, "tests/unit", "tests/property", options=("--network=none",))

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
