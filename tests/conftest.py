"""A clean environment for every test, the private Slurm, and the size of a run."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from functools import partialmethod
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings

from tests.support import rerun
from tests.support.fixtures import MakeSlurm, Scale, require_slurm
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.slurm_config import SlurmOptions

# Variables that a user, a site or a surrounding job may set, and those that change output.
FOREIGN_PREFIXES = (
    "HPCSWEEP_",
    "SLURM",
    "SBATCH_",
    "SQUEUE_",
    "SACCT_",
    "SCANCEL_",
    "SINFO_",
    "SCONTROL_",
    "SRUN_",
    "PG",
    "XDG_",
)
FOREIGN_NAMES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES")
# click before 8.2 puts standard error among standard output unless it is told not to.
if "mix_stderr" in inspect.signature(CliRunner).parameters:
    CliRunner.__init__ = partialmethod(  # type: ignore[assignment,method-assign]
        CliRunner.__init__, mix_stderr=False
    )
# Signals that the worker and a Logbook handle.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
SHARED_SLURM = pytest.StashKey[PrivateSlurm]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--soak`."""
    parser.addoption(
        "--soak", action="store_true", help="run the full figures, and the tests marked soak"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis search longer with `--soak`, and never fail for want of speed."""
    settings.register_profile(
        "here",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=2_000 if config.getoption("--soak") else 50,
    )
    settings.load_profile("here")
    # Users have none of Python's variables: unbuffered output hid that last words were lost, and
    # a start without compiled files is not theirs. What a test sets itself comes later.
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]
    sys.dont_write_bytecode = False  # of the tests either: to rewrite their asserts takes 3 s
    gc.disable()  # collecting thousands of tests makes objects that stay
    # A shell gives what it starts in the background an ignored SIGINT, and so would every test.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget how the last run ended."""
    _record_run(session.config, None)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Record how this run ended, for `tests.support.rerun`."""
    _record_run(session.config, int(exitstatus))


def _record_run(config: pytest.Config, exit_status: int | None) -> None:
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None and not hasattr(config, "workerinput"):
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        stats = reporter.stats if reporter and exit_status else {}
        failed = [*stats.get("failed", ()), *stats.get("error", ())]
        cache.set(rerun.LAST_RUN, rerun.last_run(exit_status, failed))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark whatever uses the private Slurm; keep it, and what shares a fixture, on one worker each.

    Leave out the soak tests.
    """
    for item in items:
        if {"slurm", "private_slurm"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slurm)
        if item.get_closest_marker("slurm"):
            # A Slurm for each kind of tests: they mostly wait, and on one worker all would be last.
            item.add_marker(pytest.mark.xdist_group(f"slurm-{item.path.parent.name}"))
        elif _shares_a_fixture(item) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    if not config.getoption("--soak"):
        left_out = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _shares_a_fixture(item: pytest.Item) -> bool:
    """Whether it uses a fixture of its module, which each worker that runs such a test makes."""
    fixtures = getattr(item, "_fixtureinfo", None)
    if fixtures is None:
        return False
    used = (each[-1] for each in fixtures.name2fixturedefs.values())
    return any(fixture.scope == "module" for fixture in used)


def pytest_collection_finish() -> None:
    """Leave the thousands of tests out of every later collection of garbage."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failed test, add what the shared Slurm said last and empty its queue."""
    report = yield
    shared = item.config.stash.get(SHARED_SLURM, None)
    if shared and call.when == "call" and report.failed and item.get_closest_marker("slurm"):
        report.sections.append(("daemons of the private Slurm", shared.report()))
        # A cluster that cannot be asked any more must not hide why the test failed.
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            if "slurmctld" in shared.pids():
                shared.drain()
    return report


@pytest.fixture(scope="session")
def unused_homes() -> Iterator[list[Path]]:
    """Homes that no test has used: to make and remove one takes longer than most tests."""
    homes: list[Path] = []
    yield homes
    for home in homes:
        shutil.rmtree(home)


def _make_home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="ht-", dir="/tmp"))
    (home / "tmp").mkdir()
    return home


def _is_unused(home: Path) -> bool:
    return [*home.rglob("*")] == [home / "tmp"]


@pytest.fixture(autouse=True)
def clean_environment(
    tmp_path_factory: pytest.TempPathFactory, unused_homes: list[Path]
) -> Iterator[None]:
    """Hide what this machine and its user have set; a home and a short TMPDIR for each test."""
    tmp_path_factory.getbasetemp()  # made on first use, so not below the TMPDIR of one test
    home = unused_homes.pop() if unused_homes else _make_home()
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN_PREFIXES) or name in FOREIGN_NAMES:
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("TMPDIR", str(home / "tmp"))
        patch.setattr(tempfile, "tempdir", None)  # where it remembers an earlier TMPDIR
        yield
    # What a test had run here may have set more: by a case that ran in place, its signals and
    # thread variables.
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    if _is_unused(home):
        unused_homes.append(home)
    else:
        shutil.rmtree(home, ignore_errors=True)  # a child that outlives its test may still write


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """`scale(usual, full)` is the first figure, or the second one with `--soak`."""
    return lambda usual, full: full if request.config.getoption("--soak") else usual


@pytest.fixture(scope="session")
def slurm(request: pytest.FixtureRequest) -> Iterator[PrivateSlurm]:
    """A real Slurm, shared by all tests of this run that do not disrupt it."""
    require_slurm()
    with PrivateSlurm() as cluster:
        request.config.stash[SHARED_SLURM] = cluster
        yield cluster
        del request.config.stash[SHARED_SLURM]


@pytest.fixture
def private_slurm() -> Iterator[MakeSlurm]:
    """`private_slurm(kill_wait=2, …)` starts a real Slurm for this test alone: see SlurmOptions."""
    require_slurm()
    with contextlib.ExitStack() as started:

        def make(**options: object) -> PrivateSlurm:
            cluster = PrivateSlurm(SlurmOptions(**options))  # type: ignore[arg-type]
            return started.enter_context(cluster)

        yield make
