"""The unit and property tests on the Python of each suite: 3.11, 3.13 and 3.14."""

from __future__ import annotations

import pytest

from tests.support.container_cluster import REPOSITORY, SUITES
from tests.support.docker_engine import docker

# The tests write beside the source, so they run in a copy.
SCRIPT = """
mkdir /work
tar -C /source --exclude=./.venv --exclude=./outputs -c . | tar -C /work -x
cd /work
pip install --quiet --no-deps --no-build-isolation --editable .
exec python -m pytest -q -n 2 --dist loadgroup tests/unit tests/property
"""


@pytest.mark.parametrize("version", SUITES)
def test_the_unit_and_property_tests(python_images: frozenset[str], version: str) -> None:
    assert version in python_images
    mount = f"{REPOSITORY}:/source:ro"
    options = ("--rm", "--network=none", f"--volume={mount}", "--entrypoint=sh")

    done = docker("run", *options, f"hpcsweep-test:{version}", "-euc", SCRIPT, check=False)

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
