"""What runs in a slot's child: the user's function, case after case, or one command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hpcsweep import target
from hpcsweep.errors import InputError
from hpcsweep.execute import streams
from hpcsweep.logbook import Logbook
from hpcsweep.logbook.values import writable
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Reason

if TYPE_CHECKING:
    from hpcsweep.logbook.spool import SpoolPlace
    from hpcsweep.sources import ParameterSource
    from hpcsweep.sources.seedplan import SeededCase

# The child's own exit code when it cannot even report; a shell uses 126 and 127 in this way.
EXIT_BROKEN = 125
EXIT_CANNOT_EXECUTE = 126
EXIT_NOT_FOUND = 127
# Characters of a traceback that are kept, from its end.
TRACEBACK_MAX = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One case to run, as the worker sends it to its child."""

    index: int
    params: dict[str, Any]
    case_id: str
    replicate: int
    tags: tuple[str, ...]
    # 128 bits.
    seed: int
    run_id: str
    # As in the case.
    written: dict[str, str]
    # The attempt's own directory; None with `runs: none`.
    run_dir: str | None
    # What the attempts of the case leave each other.
    checkpoints: str
    # A `Spool`, where the run will be packed.
    spool: dict[str, Any] | None = None
    # Where a case writes its result that is kept in a cache.
    result_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form on the pipe."""
        return asdict(self)

    @property
    def case(self) -> SeededCase:
        """The case as a target may ask for it."""
        from hpcsweep.sources.seedplan import SeededCase  # noqa: PLC0415  # for those who ask

        return SeededCase(
            index=self.index,
            params=self.params,
            case_id=self.case_id,
            tags=tuple(self.tags),
            replicate=self.replicate,
            seed=self.seed,
            written=self.written,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The index of a case that the user's code has to make."""

    index: int

    def to_json(self) -> dict[str, Any]:
        """The form on the pipe."""
        return asdict(self)


def die_with_worker(lifeline: int) -> None:
    """Have the kernel kill this process group when the worker is gone, however it went.

    Where a cluster does not track processes by cgroup, a case would outlive its killed worker and
    run beside its own second attempt. `lifeline` is a pipe that only the worker holds open for
    writing and never writes to: its hang-up becomes the signal.
    """
    if not hasattr(fcntl, "F_SETSIG"):  # not on macOS
        return
    os.set_inheritable(lifeline, True)  # the notice belongs to the open file: a command keeps it
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def serve(manifest: FrozenManifest, requests: int, replies: int) -> None:
    """Run cases until the worker closes its end; never returns to the worker's code."""
    function: Callable[..., Any] | None = None
    broken: BaseException | None = None
    task_output, me = (os.dup(1), os.dup(2)), os.getpid()
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            request = Request(**json.loads(line))
            spool = request.spool
            otherwise = (spool["out"], spool["err"]) if spool else task_output
            streams.capture(request.run_dir, otherwise)
            streams.reopen()
            _reset_peak_memory()
            reply: dict[str, Any]
            reply = {"reason": None, "error": None, "metrics": {}, "returned": False}
            os.chdir(manifest.root)  # where a command starts, too; the last case may have left it
            if function is None and broken is None:
                try:
                    function = target.load(manifest)
                    # At once: a case that crashes can say it no more.
                    _send(replies, {"code_digest": target.code_digest(manifest)})
                # The one catch of everything: what a user's module or function raises is an
                # outcome of its case, whatever it is.
                except BaseException as error:  # noqa: BLE001
                    broken = error
            reply |= _run(function, request) if function else _failure(broken)
            if os.getpid() != me:  # a fork of the user's that came back out of the target
                os._exit(0)
            streams.flush()
            reply["cpu_total"] = _cpu_seconds()
            reply["max_rss_bytes"] = _peak_memory()
            _send(replies, reply)
    os._exit(0)


def serve_cases(directory: Path, manifest: FrozenManifest, requests: int, replies: int) -> None:
    """Make cases of a frozen manifest that needs the user's code; never returns.

    A reply holds the case in the place of metrics.
    """
    source: ParameterSource | None = None
    broken: dict[str, Any] | None = None
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            reply: dict[str, Any] = {"reason": None, "error": None, "metrics": {}, "returned": True}
            try:
                if source is None and broken is None:
                    source = _opened(directory, manifest)
                if source is not None:
                    reply["metrics"] = asdict(source[json.loads(line)["index"]])
            # As in `serve`: whatever the user's code raises.
            except BaseException as error:  # noqa: BLE001
                reply |= _described(error)
                broken = None if source else reply
            reply |= broken or {}
            streams.flush()
            _send(replies, reply | {"cpu_total": _cpu_seconds(), "max_rss_bytes": _peak_memory()})
    os._exit(0)


def _opened(directory: Path, manifest: FrozenManifest) -> ParameterSource:
    os.chdir(manifest.root)
    return frozen.open_source(directory, manifest)


def call_target(function: Callable[..., Any], request: Request, log: Logbook) -> None:
    """Call the target as every case does; what it returns ends up in `log.metrics`.

    *Raises* whatever the target raises, InputError for what cannot be metrics.
    """
    given: Mapping[str, Callable[[], Any]] = {
        "params": lambda: request.params,
        "log": lambda: log,
        "seed": lambda: request.seed,
        "case": lambda: request.case,
        "rng": lambda: _generator(request.seed),
        "checkpoint": lambda: log.checkpoint,
    }
    result = _called(function, request, given)
    log.merge_metrics(_reported(result), "the returned dict")


def _called(
    function: Callable[..., Any], request: Request, given: Mapping[str, Callable[[], Any]]
) -> Any:
    if request.result_file is None:
        return target.call(function, request.params, given)
    from hpcsweep.results.shelf import Case  # noqa: PLC0415  # other sweeps do without

    # As the runner of a `Store` gets them, so that one function can be both.
    path = {"result_file": request.result_file}
    params = request.params | {"id": Case.of(request.params).id} | path
    if target.is_runner(function, request.params):
        return function(params)
    given = dict(given) | {"params": lambda: params}
    return target.call(function, request.params | path, given)


def _run(function: Callable[..., Any], request: Request) -> dict[str, Any]:
    log = logbook(request)
    try:
        call_target(function, request, log)
    except SystemExit as error:
        if error.code in (None, 0):
            return {"metrics": log.metrics}
        return _exit(error) | {"metrics": log.metrics}
    except BaseException as error:  # noqa: BLE001  # as above
        return _failure(error) | {"metrics": log.metrics}
    return {"metrics": log.metrics, "returned": True} | told_failed(log)


def logbook(request: Request) -> Logbook:
    """The Logbook of a case."""
    place: Path | SpoolPlace | None = Path(request.run_dir) if request.run_dir else None
    if request.spool:
        from hpcsweep.logbook.spool import Spool, SpoolPlace  # noqa: PLC0415  # other runs do without

        place = SpoolPlace(Spool(**request.spool), request.run_id)
    return Logbook.attached(
        request.run_id,
        place,
        params=request.params,
        checkpoints=Path(request.checkpoints),
    )


def told_failed(log: Logbook) -> dict[str, Any]:
    """The reply's part about a target that said itself that it failed."""
    if log.told_failed is None:
        return {}
    error = {"type": "MarkedFailed", "message": writable(log.told_failed[:TRACEBACK_MAX])}
    return {"reason": Reason.ERROR.value, "error": error}


def _reported(result: Any) -> Mapping[str, Any]:
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise InputError(
            f"the target returned {type(result).__name__}, not a dict of metrics",
            next_step="Return a dict by metric name, or nothing.",
        )
    return result


def _generator(seed: int) -> Any:
    import numpy  # noqa: PLC0415  # only for those who ask for `rng` (invariant 17)

    return numpy.random.default_rng(seed)


def _exit(error: SystemExit) -> dict[str, Any]:
    code = error.code if isinstance(error.code, int) else 1
    message = f"the target called sys.exit({error.code!r})"
    return {
        "reason": Reason.EXIT_CODE.value,
        "error": {"type": "SystemExit", "message": message, "exit_code": code},
    }


def _failure(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {}
    reply = _described(error)
    with contextlib.suppress(OSError, ValueError):  # a target may have closed it
        sys.stderr.write(reply["error"]["traceback"])
    return reply


def _described(error: BaseException) -> dict[str, Any]:
    trace = _without_ours(error.__traceback__)
    try:
        message = str(error)
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001  # a user's class may break while it is printed
        message, text = "(its message cannot be printed)", ""
    return {
        "reason": Reason.ERROR.value,
        "error": {
            "type": type(error).__name__,
            "message": writable(message[:TRACEBACK_MAX]),
            "traceback": writable(text[-TRACEBACK_MAX:]),
        },
    }


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the user's."""
    ours = str(Path(__file__).parent.parent)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((ours, "<frozen")):
        trace = trace.tb_next
    return trace


def execute(manifest: FrozenManifest, request: Request) -> None:
    """Become the command of one case. Returns only when it cannot: the caller exits."""
    places = {
        "run_dir": request.run_dir or "",
        "seed": str(request.seed),
        "case_id": request.case_id,
        "index": str(request.index),
        "params_json": json.dumps(request.params, ensure_ascii=False),
    }
    if request.result_file is not None:
        places["result_file"] = request.result_file
    argv = target.command_line(manifest.target, request.params, places, request.written)
    environment = os.environ | {
        "HPCSWEEP_RUN_DIR": places["run_dir"],
        "HPCSWEEP_CASE_ID": request.case_id,
        "HPCSWEEP_INDEX": places["index"],
        "HPCSWEEP_SEED": places["seed"],
        "HPCSWEEP_CHECKPOINTS": request.checkpoints,
    }
    streams.capture(request.run_dir, (1, 2))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; a program expects them
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.chdir(manifest.root)
        os.execvpe(argv[0], argv, environment)
    except FileNotFoundError as error:
        _complain(f"{error.filename or argv[0]}: {error.strerror}")
        os._exit(EXIT_NOT_FOUND)
    except OSError as error:
        _complain(f"{argv[0]}: {error.strerror}")
        os._exit(EXIT_CANNOT_EXECUTE)
    except ValueError as error:  # an argument with a NUL, which would end it there
        _complain(f"an argument cannot be given to a program: {error}")
        os._exit(EXIT_CANNOT_EXECUTE)


def _complain(message: str) -> None:
    os.write(2, f"hpcsweep: {message}\n".encode(errors="backslashreplace"))


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def _reset_peak_memory() -> None:
    # proc(5): 5 resets the peak resident set size; without it the peak is the process's so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _send(descriptor: int, reply: dict[str, Any]) -> None:
    view = memoryview(json.dumps(reply).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]
