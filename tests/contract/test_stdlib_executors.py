"""The standard library's own tests of executors, as far as they apply to a cluster.

Debian has them in libpython3.11-testsuite. Not run are tests of threads and processes of a pool, of
`initializer`, and those that give calls a time in seconds: there a call starts within milliseconds.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated

__all__ = ["emulated"]

SUITE = Path("/usr/lib/python3.11/test/test_concurrent_futures.py")
IS_HERE = SUITE.exists() and sys.version_info[:2] == (3, 11)
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not IS_HERE,
        reason="the tests of Python 3.11 are not installed: libpython3.11-testsuite",
    ),
    pytest.mark.usefixtures("environment"),
]
APPLY = {
    "ExecutorTest": (
        "test_submit",
        "test_submit_keyword",
        "test_map",
        "test_map_exception",
        "test_shutdown_race_issue12456",
        "test_no_stale_references",
        "test_max_workers_negative",
        "test_free_reference",
    ),
    "ExecutorShutdownTest": ("test_run_after_shutdown", "test_hang_issue12364"),
    "WaitTests": (
        "test_20369",
        "test_first_exception",
        "test_first_exception_some_already_complete",
        "test_first_completed_some_already_completed",
        "test_all_completed",
    ),
    "AsCompletedTests": ("test_no_timeout", "test_zero_timeout", "test_duplicate_futures"),
    "ExecutorDeadlockTest": (
        "test_crash_at_task_unpickle",
        "test_crash_during_func_exec_on_worker",
        "test_exit_during_func_exec_on_worker",
        "test_error_during_func_exec_on_worker",
        "test_crash_during_result_pickle_on_worker",
        "test_error_during_result_unpickle_in_result_handler",
        "test_exit_during_result_unpickle_in_result_handler",
    ),
}


@pytest.fixture
def environment(emulated: EmulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (emulated.env() | INGEST_LATER).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(SUITE.parent)])  # tasks import it by its name


class ClusterExecutor(hs.Executor):
    """An executor on the emulated cluster, with the keywords of a pool."""

    def __init__(self, max_workers: int | None = None, mp_context: None = None) -> None:  # noqa: ARG002
        super().__init__(cluster="emulated", max_workers=max_workers, chunk=1)


def suite() -> Any:
    """The module of the tests."""
    spec = importlib.util.spec_from_file_location(SUITE.stem, SUITE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[SUITE.stem] = module
    spec.loader.exec_module(module)
    # What a pool raises when one of its processes died.
    module.BrokenProcessPool = hs.CallFailed
    return module


def cases() -> Iterator[tuple[str, type[unittest.TestCase]]]:
    """The classes of tests that apply, each with those of its tests that do."""
    module = suite()
    for name, tests in APPLY.items():
        mixin = vars(getattr(module, name))
        helpers = {key: mixin[key] for key in mixin if not key.startswith(("test", "__"))}
        body = helpers | {test: mixin[test] for test in tests}
        body |= {"executor_type": ClusterExecutor, "get_context": lambda _: None}
        yield name, type(name, (module.ExecutorMixin, unittest.TestCase), body)


if IS_HERE:
    globals().update(cases())
