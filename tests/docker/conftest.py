"""The engine, the images and a cluster of each version; brought up once for a test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.base_images import ensure_bases
from tests.support.container_cluster import DOCKERFILE, PROGRAM, SUITES, ContainerCluster
from tests.support.docker_engine import NoEngine, docker_engine
from tests.support.suite_image import NEWER, build_test_image

HERE = Path(__file__).parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start one engine for all workers of a run with `-n`: they find it by DOCKER_HOST."""
    if session.config.getoption("numprocesses"):
        engine = contextlib.ExitStack()
        session.config.add_cleanup(engine.close)
        # Each test that needs the engine skips with the reason.
        with contextlib.suppress(NoEngine):
            engine.enter_context(docker_engine())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this directory."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def images() -> Iterator[frozenset[str]]:
    """An engine with `hpcsweep-slurm:VERSION` for each version; the value is these versions.

    Skips where there is no engine; in CI that is a failure.
    """
    try:
        with docker_engine():
            with building():
                ensure_bases(tuple(SUITES.values()))
                at_once(build, SUITES)
            yield frozenset(SUITES)
    except NoEngine as error:
        leave_out("Docker", str(error))


@pytest.fixture(
    scope="session",
    params=[pytest.param(version, marks=pytest.mark.xdist_group(version)) for version in SUITES],
)
def cluster(images: frozenset[str], request: pytest.FixtureRequest) -> Iterator[ContainerCluster]:
    """A cluster of each version, shared by the tests that do not disrupt it."""
    assert request.param in images
    with ContainerCluster(request.param) as started:
        yield started


@pytest.fixture(scope="session", name="test_images")
def _test_images(images: frozenset[str]) -> frozenset[str]:
    """`hpcsweep-test:VERSION` for the newer ones: their Python, and what hpcsweep's tests need."""
    newer = images.intersection(NEWER)
    with building():
        at_once(build_test_image, newer)
    return newer


@pytest.fixture(scope="session")
def libfaketime() -> Path:
    """The library that gives a program another clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        leave_out("libfaketime", "needs libfaketime: apt-get install libfaketime")
    return found[0]


def leave_out(missing: str, reason: str) -> NoReturn:
    """Skip the test; in CI, let it fail."""
    if os.environ.get("CI", "") in ("true", "1"):
        pytest.fail(f"in CI no test is skipped for want of {missing}; this one {reason}")
    pytest.skip(reason)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Build alone: the other workers of a run wait, and find the images in the engine's cache."""
    with DOCKERFILE.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def at_once(work: Callable[[str], None], versions: Collection[str]) -> None:
    """Do something for several versions at once."""
    with ThreadPoolExecutor(len(versions)) as pool:
        list(pool.map(work, versions))


def build(version: str) -> None:
    """Build the image of a cluster of one version."""
    environment = {**os.environ, "SLURM": version}
    subprocess.run([sys.executable, PROGRAM, "build"], env=environment, check=True)
