"""Call the target for one case; the answer holds its metrics, or its exception."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hpcsweep import target
from hpcsweep.errors import InputError, Preempted, SweepError
from hpcsweep.files import FULL
from hpcsweep.logbook import Logbook
from hpcsweep.logbook.json_values import EXCEPTION_TEXT_MAX, exception_fields, without_surrogates
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Reason
from hpcsweep.worker import streams
from hpcsweep.worker.messages import ANSWER_MAX, NOTHING, Answer, Request

if TYPE_CHECKING:
    from hpcsweep.logbook.spool import SpoolStorage
    from hpcsweep.worker.fixed_files import FixedValue

Function = Callable[..., Any]


class FunctionCalls:
    """Work of a child that runs the cases of a function."""

    def __init__(self, manifest: FrozenManifest) -> None:
        self.root = Path(manifest.root)
        self._manifest = manifest
        self._function: Function | None = None
        self._import_error: BaseException | None = None
        self._fixed: Mapping[str, FixedValue] = {}
        # Standard output and error of the task.
        self._output = (1, 2)

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the target; its output goes to the first case. See `Work`."""
        self._output = os.dup(1), os.dup(2)
        with contextlib.suppress(OSError):  # each case reports it when it redirects its own output
            self._begin(request)
        streams.reopen()
        try:
            self._function = load_function(self._manifest)
            _prepare(self._function)
            self._fixed = fixed_values(self._manifest)
            return {"code_digest": target.code_digest(self._manifest)}
        # Catch everything: an error of the user's module is the outcome of every case.
        except BaseException as error:  # noqa: BLE001
            self._import_error = error
            return {}
        finally:
            streams.flush()
            for number, descriptor in enumerate(self._output, start=1):
                os.dup2(descriptor, number)

    def run(self, request: dict[str, Any]) -> Answer:
        """Call the target. See `Work`."""
        self._begin(request)
        if self._function is None or self._import_error is not None:
            return NOTHING | (report_exception(self._import_error) if self._import_error else {})
        return call_for_answer(self._function, Request(**request), self._fixed)

    def _begin(self, request: dict[str, Any]) -> None:
        spool = request["spool"]
        streams.capture(request["run_dir"], (spool["out"], spool["err"]) if spool else self._output)
        os.chdir(self._manifest.root)  # commands start there, too


def load_function(manifest: FrozenManifest) -> Function:
    """Import the target's function; that of a search may take `trial`. *Raises* as `load`."""
    # What parses a command line, in the import or in the function, sees a program without
    # arguments: the arguments of this process are ours.
    sys.argv[:] = [manifest.target.file or manifest.target.module or ""]
    function = target.load(manifest)
    if "search" not in manifest.policies:
        return function
    from hpcsweep.worker.trial import with_trial  # noqa: PLC0415  # for searches alone

    return with_trial(function)


def _prepare(function: Function) -> None:
    """Import before the fork what each case would import for the names that it requests."""
    requested = target.requested_names(function)
    if "rng" in requested:
        import numpy.random  # noqa: PLC0415, F401
    if "case" in requested:
        import hpcsweep.sources.seedplan  # noqa: PLC0415, F401


def fixed_values(manifest: FrozenManifest) -> Mapping[str, FixedValue]:
    """The values that every case gets from a file. *Raises* InputError."""
    if not manifest.fixed:
        return {}
    from hpcsweep.worker.fixed_files import load_fixed  # noqa: PLC0415  # few sweeps have any

    return load_fixed(manifest)


def call_target(
    function: Function, request: Request, log: Logbook, fixed: Mapping[str, FixedValue]
) -> None:
    """Call the target, and merge the returned metrics into `log.metrics`.

    *Raises* whatever the target raises; InputError if it returns no dict of metrics.
    """
    params = request.params
    if fixed:
        from hpcsweep.worker.fixed_files import with_values  # noqa: PLC0415  # as above

        params = with_values(params, fixed)
    given: Mapping[str, Callable[[], Any]] = {
        "params": lambda: params,
        "log": lambda: log,
        "seed": lambda: request.seed,
        "case": lambda: request.case,
        "rng": lambda: _generator(request.seed),
        "checkpoint": lambda: log.checkpoint,
    }
    result = _call(function, request, params, given)
    log.merge_metrics(_as_metrics(result), "the returned dict")


def _call(
    function: Function,
    request: Request,
    params: dict[str, Any],
    given: Mapping[str, Callable[[], Any]],
) -> Any:
    if request.result_file is None:
        return target.call(function, params, given)
    from hpcsweep.cache.files.result_directory import ResultKey  # noqa: PLC0415  # for cached sweeps only

    # The same params as a `Store` passes to its runner: one function can serve both.
    path = {"result_file": request.result_file}
    known = params | {"id": ResultKey.of(request.params).id} | path
    if target.is_runner(function, request.params):
        return function(known)
    given = dict(given) | {"params": lambda: known}
    return target.call(function, params | path, given)


def call_for_answer(
    function: Function, request: Request, fixed: Mapping[str, FixedValue]
) -> Answer:
    """Run a case; whatever the target raises becomes its answer."""
    log = logbook(request)
    try:
        call_target(function, request, log, fixed)
    except SystemExit as error:
        outcome = {} if error.code in (None, 0) else _exit(error)
    except Preempted as error:
        outcome = {
            "reason": Reason.TERMINATED.value,
            "error": {"type": "Preempted", "message": error.what},
        }
    # Catch everything: an error of the user's function is the outcome of its case.
    except BaseException as error:  # noqa: BLE001
        outcome = report_exception(error) | {"reason": _reason(error, request).value}
    else:
        outcome = {"returned": True} | marked_failed(log)
    return NOTHING | outcome | {"metrics": log.metrics_json}


def _reason(error: BaseException, request: Request) -> Reason:
    """Why a case failed whose function raised this."""
    if isinstance(error, MemoryError) and _has_memory_limit():
        return Reason.OUT_OF_MEMORY
    if getattr(error, "errno", None) in FULL and _is_full(request):
        return Reason.QUOTA
    return Reason.ERROR


def _has_memory_limit() -> bool:
    """Whether an allocation can meet a limit: of the address space, as VSizeFactor sets it.

    A cgroup refuses no allocation; it has the process killed. Without a limit of this kind the
    function asked for more than there can be, or raised the error itself.
    """
    import resource  # noqa: PLC0415  # for cases that ran out of memory

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _is_full(request: Request) -> bool:
    """Whether the sweep has no room. Another full disk is the case's own affair."""
    from hpcsweep.room import has_room  # noqa: PLC0415  # for cases that found a disk full

    checkpoints = Path(request.checkpoints)
    try:
        return not has_room(checkpoints.parents[1])
    except (OSError, SweepError):
        return False


def logbook(request: Request) -> Logbook:
    """The Logbook of a case."""
    place: str | SpoolStorage | None = request.run_dir
    if request.spool:
        from hpcsweep.logbook.spool import Spool, SpoolStorage  # noqa: PLC0415  # for packed runs

        place = SpoolStorage(Spool(**request.spool), request.run_id)
    return Logbook.attached(
        request.run_id,
        place,
        params=request.params,
        checkpoints=request.checkpoints,
    )


def marked_failed(log: Logbook) -> dict[str, Any]:
    """The fields of an answer if the target marked itself as failed."""
    if log.marked_failed is None:
        return {}
    error = {
        "type": "MarkedFailed",
        "message": without_surrogates(log.marked_failed[:EXCEPTION_TEXT_MAX]),
    }
    return {"reason": Reason.ERROR.value, "error": error}


def _as_metrics(result: Any) -> Mapping[str, Any]:
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise InputError(
            f"the target returned {type(result).__name__}, not a dict of metrics",
            next_step=f"Return a dict by metric name{_as_dict(result)}, or nothing.",
        )
    return result


def _as_dict(result: Any) -> str:
    """How a value of these types becomes a dict, after a comma."""
    if hasattr(result, "__dataclass_fields__"):
        return ", `dataclasses.asdict(…)`"
    return ", `._asdict()`" if hasattr(result, "_asdict") else ""


def _generator(seed: int) -> Any:
    import numpy  # noqa: PLC0415  # only if `rng` is requested (invariant 17)

    return numpy.random.default_rng(seed)


def _exit(error: SystemExit) -> dict[str, Any]:
    code = error.code if isinstance(error.code, int) else 1
    message = f"the target called sys.exit({error.code!r})"
    return {
        "reason": Reason.EXIT_CODE.value,
        "error": {"type": "SystemExit", "message": message, "exit_code": code},
    }


def report_exception(error: BaseException) -> Answer:
    """The fields of an answer for an exception of user code. Also prints its traceback."""
    answer = exception_answer(error)
    with contextlib.suppress(OSError, ValueError):  # a target may have closed it
        sys.stderr.write(answer["error"]["traceback"])
    return answer


def exception_answer(error: BaseException) -> Answer:
    """The fields of an answer for an exception of user code."""
    fields = exception_fields(error, _user_frames(error.__traceback__))
    if isinstance(error, ModuleNotFoundError):
        fields["message"] += (
            f" (in {sys.executable}, which runs the target; `python:` names another interpreter)"
        )
    return {"reason": Reason.ERROR.value, "error": fields}


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame of user code on."""
    package = str(Path(__file__).parent.parent)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((package, "<frozen")):
        trace = trace.tb_next
    return trace


def encode_answer(answer: Answer) -> bytes:
    """Encode an answer for the worker; replace one above `ANSWER_MAX` by an error."""
    text = json.dumps(answer).encode()
    if len(text) <= ANSWER_MAX:
        return text
    error = InputError(
        f"its metrics have {len(text)} bytes; {ANSWER_MAX} are the most",
        next_step="Write such data into a file of the run, as `log.json` does.",
    )
    return json.dumps(NOTHING | exception_answer(error)).encode()
