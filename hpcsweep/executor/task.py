"""The target of the cases of an executor: call a function with its arguments, in an array task."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from hpcsweep.errors import CallFailed, InputError, Preempted
from hpcsweep.executor import pickles
from hpcsweep.records import IN_TASK

if TYPE_CHECKING:
    from hpcsweep.logbook import Logbook

# The file of a run with the answer, and the metric with its digest.
ANSWER, ANSWER_DIGEST = "answer.pickle", "answer"
CALLS = "calls"
# The functions whose initializers this process has called, by their pickles; and the digests of
# initializers of modules, which all functions share. What a script defines has global variables of
# its own in each pickle that is loaded.
_initialized: dict[bytes, Any] = {}
_called: set[str] = set()


class _Found(TypedDict):
    # Of the caller's `sys.path`, what another process of this interpreter does not have.
    search: list[str]
    function: bytes


class Function(_Found, total=False):
    """The content of the pickle of a function."""

    # With it, `function` is followed by another one and its arguments, which a process calls first;
    # the digest of these two.
    initializer: str
    # In calls that were sent before 2026-11-30, in place of it: once for each function.
    has_initializer: bool


class CallAnswer(TypedDict):
    """The content of the pickle of an answer: a value, or what was raised with its traceback."""

    value: Any
    error: BaseException | None
    traceback: str


def run_call(params: dict[str, Any], log: Logbook) -> None:
    """Call the function of a case. *Raises* what it raises. *Writes* its answer into the run."""
    sweep = os.environ.get(IN_TASK)
    if sweep is None:
        raise InputError("a call of an executor runs in an array task alone")
    answer: CallAnswer = {"value": None, "error": None, "traceback": ""}
    try:
        answer["value"] = _call(Path(sweep), params)
    except Preempted:  # the task has to end: another attempt gives the answer
        raise
    # Catch everything: an error of the user's function is its answer.
    except BaseException as error:
        _save({**answer, "error": error, "traceback": _traceback_text(error)}, log)
        raise
    _save(answer, log)


def _call(sweep: Path, params: dict[str, Any]) -> Any:
    pickles.refuse_shared(sweep)
    code, arguments = (
        pickles.read_pickle(sweep / CALLS / f"{params[name]}.pickle")
        for name in ("code", "arguments")
    )
    wrapped: Function = pickles.load(code, "the function")
    sys.path += [path for path in wrapped["search"] if path not in sys.path]
    function = _function_of(wrapped)
    positional, by_name = pickles.load(arguments, "its arguments")
    return function(*positional, **by_name)


def _function_of(wrapped: Function) -> Any:
    """The function, with what its initializer sets. *Raises* what that raises."""
    data, digest = wrapped["function"], wrapped.get("initializer")
    if digest is None and not wrapped.get("has_initializer"):
        return pickles.load(data, "the function")
    if data not in _initialized:
        function, initializer, arguments = pickles.load(data, "the function")
        if digest not in _called:
            initializer(*arguments)
            if digest is not None and _is_of_module(initializer):
                _called.add(digest)
        _initialized[data] = function
    return _initialized[data]


def _is_of_module(function: Any) -> bool:
    """Whether a function is the one that its module has, and was not pickled by its code."""
    found = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is function


def _traceback_text(error: BaseException) -> str:
    """The traceback of an exception from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _save(answer: CallAnswer, log: Logbook) -> None:
    """Write an answer. *Raises* InputError for a value that cannot be pickled."""
    try:
        data = pickles.dump(answer, "what the function returned")
        if answer["error"] is not None:
            pickles.load(data, "what it raised")  # some exceptions cannot be made again
    except (InputError, CallFailed) as problem:
        if answer["error"] is not None:  # its text and that of the traceback are what is left
            raised = answer["error"]
            text = "".join(traceback.format_exception_only(type(raised), raised)).strip()
            stand_in = CallFailed(f"the call raised an error that cannot be pickled: {text}")
            _write(pickles.dump({**answer, "error": stand_in}, "a traceback"), log)
            return
        _write(pickles.dump({**answer, "value": None, "error": problem}, "a problem"), log)
        raise
    _write(data, log)


def _write(data: bytes, log: Logbook) -> None:
    log.bytes(ANSWER, data)
    log.metric(ANSWER_DIGEST, pickles.digest_of(data))
