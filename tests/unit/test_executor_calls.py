"""Calls of an executor without a cluster: where functions are found, and whose turn it is."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcsweep import claims
from hpcsweep.errors import CallFailed, InputError, SweepBusy
from hpcsweep.executor import dispatch, pickles, submitit, submitit_calls, task
from hpcsweep.executor.calls import (
    CallSweep,
    Initializer,
    manifest_keys,
    pickled,
    pickled_function,
)
from hpcsweep.executor.dispatch import CLAIM, Dispatcher
from hpcsweep.executor.executor import Executor
from hpcsweep.executor.pickles import digest_of
from hpcsweep.executor.task import CALLS, Function
from hpcsweep.files import make_directory
from hpcsweep.sweepdir.directory import CLAIMS


def test_a_function_of_a_module_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -c` and an interactive Python have "" for it in their search path."""
    (tmp_path / "of_current_directory.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    function = importlib.import_module("of_current_directory").twice
    wrapped: Function = pickles.load(pickled_function(function), "a function")
    assert str(tmp_path.resolve()) in wrapped["search"]
    assert "" not in wrapped["search"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CallSweep:
    monkeypatch.chdir(tmp_path)
    return CallSweep("calls", tmp_path, manifest_keys({}), {"cluster": "emulated"})


def test_an_executor_waits_for_another_of_its_name_that_ends(
    calls: CallSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = claims.try_acquire(make_directory(calls.created().path / CLAIMS), CLAIM)
    assert other is not None
    paused: list[float] = []

    def ends_meanwhile(pause_s: float) -> None:
        paused.append(pause_s)
        other.release()

    monkeypatch.setattr("hpcsweep.claims.time.sleep", ends_meanwhile)
    assert Dispatcher(calls, cache=False, throttle=0).recover() == []
    assert len(paused) == 1


def test_an_executor_says_who_is_at_work(calls: CallSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE_S", 0.0)
    other = claims.try_acquire(make_directory(calls.created().path / CLAIMS), CLAIM)
    assert other is not None
    with pytest.raises(SweepBusy, match="another executor of this name is at work") as caught:
        Dispatcher(calls, cache=False, throttle=0).recover()
    assert "one executor can make all calls of a program" in caught.value.next_step
    other.release()


NOTING = """\
from pathlib import Path
from types import SimpleNamespace
from typing import Any

def note(path, text):
    with Path(path).open("a") as stream:
        stream.write(text)
"""


def answers(sweep: Path, initializer: Initializer) -> list[int]:
    """What two calls each of two functions give in this process."""
    calls = make_directory(sweep / CALLS)
    sweep.chmod(0o700)
    found = []
    for function, arguments in ((pow, (2, 5)), (max, (2, 5))):
        call = pickled(function, arguments, {}, initializer)
        params = {"code": digest_of(call.code), "arguments": digest_of(call.arguments)}
        for name, data in zip(params.values(), (call.code, call.arguments), strict=True):
            (calls / f"{name}.pickle").write_bytes(data)
        call_of_case = task._call  # noqa: SLF001  # without a cluster and a run
        found += [call_of_case(sweep, params) for _ in range(2)]
    return found


def note_of(module: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The function of `NOTING`, of a module of this name that can be imported."""
    (path / f"{module}.py").write_text(NOTING)
    monkeypatch.syspath_prepend(path)
    note: Callable[..., None] = importlib.import_module(module).note
    return note


def test_a_process_calls_an_initializer_of_a_module_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = note_of("noting", tmp_path, monkeypatch)
    begun = tmp_path / "begun"
    for text in ("x", "y"):
        initializer = Initializer(function=note, arguments=(str(begun), text))
        assert answers(tmp_path, initializer) == [32, 32, 5, 5]
    assert begun.read_text() == "xy"


def test_a_process_calls_an_initializer_of_a_script_once_for_each_function(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def note(path: str) -> None:
        with Path(path).open("a") as stream:
            stream.write("x")

    initializer = Initializer(function=note, arguments=(str(begun),))
    assert answers(tmp_path, initializer) == [32, 32, 5, 5]
    assert begun.read_text() == "xx"


class TwoArguments(Exception):
    """Pickled with one argument, as Python does, and so not made again."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} is not {b}")


def test_an_exception_that_cannot_be_pickled_keeps_its_text() -> None:
    written: dict[str, bytes] = {}
    log: Any = SimpleNamespace(bytes=written.__setitem__, metric=lambda *_: None)
    answer: task.CallAnswer = {"value": None, "error": TwoArguments(1, 2), "traceback": "trace"}
    task._save(answer, log)  # noqa: SLF001  # without a cluster and a run
    found = pickles.load(written["answer.pickle"], "the answer")
    assert "TwoArguments: 1 is not 2" in str(found["error"])
    assert (type(found["error"]), found["traceback"]) == (CallFailed, "trace")


def test_calls_that_were_sent_before_an_upgrade_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = note_of("noting_before", tmp_path, monkeypatch)
    begun = tmp_path / "begun"
    function_of = task._function_of  # noqa: SLF001  # without a cluster and a run
    for function, expected in ((pow, 32), (max, 5)):
        begins = (function, note, (str(begun), "x"))
        sent: Function = {
            "search": [],
            "function": pickles.dump(begins, "a function"),
            "has_initializer": True,
        }
        assert [function_of(sent)(2, 5) for _ in range(2)] == [expected] * 2
    assert begun.read_text() == "xx"


def test_an_initializer_that_no_process_can_call_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the initializer with its arguments cannot be pickled"):
        pickled(pow, (2, 5), {}, Initializer(function=print, arguments=(threading.Lock(),)))
    with pytest.raises(TypeError, match="must be a callable"):  # as of Python's own executors
        Executor("calls", root=tmp_path, initializer=5)  # type: ignore[arg-type]


def test_what_programs_for_submitit_find_in_helpers() -> None:
    class Training(submitit_calls.Checkpointable):
        def __call__(self, epochs: int) -> int:
            return 2 * epochs

    training = Training()
    assert training.checkpoint(3).result() == training(3) == 6
    assert submitit.helpers.Checkpointable is submitit_calls.Checkpointable
    sequence = submitit.helpers.FunctionSequence()
    sequence.add(pow, 2, 5)
    sequence.add(training, epochs=2)
    assert (len(sequence), sequence()) == (2, [32, 4])
    assert issubclass(submitit.core.utils.FailedJobError, CallFailed)
    for kind in (submitit.LocalExecutor, submitit.SlurmExecutor):
        assert issubclass(kind, submitit.AutoExecutor)


@pytest.mark.parametrize(("given", "isolation"), [({}, "task"), ({"isolation": "case"}, "case")])
def test_calls_with_an_initializer_share_a_process(
    tmp_path: Path, given: dict[str, Any], isolation: str
) -> None:
    made = Executor("calls", root=tmp_path, cluster="emulated", initializer=print, **given)
    assert made.sweep._described.manifest.isolation == isolation  # noqa: SLF001  # before a submit
