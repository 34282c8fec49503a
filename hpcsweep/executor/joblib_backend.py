"""`joblib.parallel_config("hpcsweep", …)`: joblib's calls by an executor. Import it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import ParallelBackendBase

from hpcsweep.executor.executor import Executor
from hpcsweep.executor.futures import CallFuture

# Calls that joblib hands out at once where `n_jobs` is -1, as many as there may be.
MANY = 1000


class JoblibBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """A backend of joblib; `options` are the keywords of `Executor`."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = False

    def __init__(self, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        self._options = options
        self._executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once."""
        return MANY if n_jobs is None or n_jobs < 0 else max(1, n_jobs)

    def configure(self, n_jobs: int = -1, parallel: Any = None, **_: Any) -> int:
        """Begin with the calls of one `Parallel`, which are one sweep."""
        self.parallel = parallel
        workers = None if n_jobs is None or n_jobs < 0 else n_jobs
        self._executor = Executor(**{"max_workers": workers, **self._options})
        return self.effective_n_jobs(n_jobs)

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> CallFuture:
        """Call a batch of joblib's."""
        if self._executor is None:
            self.configure()
        assert self._executor is not None  # noqa: S101  # for type checkers
        future = self._executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: CallFuture) -> Any:
        """The results of a batch. *Raises* what it raised."""
        return out.result()

    def terminate(self) -> None:
        """Cancel what has not begun."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def abort_everything(self, ensure_ready: bool = True) -> None:  # joblib's
        """Cancel what has not begun, since a call raised."""
        self.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)


register_parallel_backend("hpcsweep", JoblibBackend)
