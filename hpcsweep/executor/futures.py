"""The futures of calls, and what becomes of them."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import CallFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsweep.executor.task import CallAnswer


class RemoteTraceback(Exception):
    """The traceback of an exception, where it was raised; the cause of the one that is raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class CallFuture(Future[Any]):
    """The future of a call. It runs from when its case begins."""

    def __init__(self, cancelled: Callable[[], None]) -> None:
        """`cancelled` is called when it was cancelled."""
        super().__init__()
        self._cancelled = cancelled
        # Whether it was marked as running, or its waiters were told that it is cancelled.
        self._is_begun = False
        # Its index in the sweep; None before it is sent.
        self.index: int | None = None

    def cancel(self) -> bool:
        """Cancel a call that has not begun; one that is queued is cancelled on the cluster."""
        is_new = not self.cancelled()
        done = super().cancel()
        if done and is_new:
            self._cancelled()
        return done

    def begin(self) -> bool:
        """Mark it as running, once. Returns whether an answer can be set. Of one thread alone."""
        if not self._is_begun:
            self._is_begun = True
            return self.set_running_or_notify_cancel()
        return not self.done()

    def settle(self, answer: CallAnswer, what: str) -> None:
        """Set what its function returned or raised; `what` names the call."""
        if not self.begin():
            return
        error = answer["error"]
        if error is None and answer["traceback"]:  # of an answer before 2026-11-30
            error = CallFailed(f"{what} raised an error that cannot be pickled", where=what)
        if error is None:
            self.set_result(answer["value"])
            return
        if answer["traceback"]:
            error.__cause__ = RemoteTraceback(answer["traceback"])
        self.set_exception(error)

    def fail(self, error: BaseException) -> None:
        """Set why there is no answer."""
        if self.begin():
            self.set_exception(error)

    def withdraw(self) -> None:
        """Note that its case was cancelled by other means."""
        self.cancel()
        self.fail(CancelledError())
