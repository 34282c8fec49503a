"""Send calls in batches and settle their futures, in a thread that lives while there are any."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hpcsweep import claims
from hpcsweep.errors import CallFailed, HpcsweepError, SweepBusy, SweepError
from hpcsweep.executor.answers import call_states, last_answers
from hpcsweep.executor.calls import CallPickles, CallSweep
from hpcsweep.executor.futures import CallFuture
from hpcsweep.executor.task import CallAnswer
from hpcsweep.files import make_directory
from hpcsweep.liveness import HEARTBEAT
from hpcsweep.state.status import poll_pause
from hpcsweep.sweepdir.directory import CLAIMS, MARKER

_log = logging.getLogger(__name__)

# Calls that come within so many seconds of the last one are one array; but none waits longer than
# the second for others.
WINDOW_S, WINDOW_MAX_S = 0.1, 2.0
# How often what the cluster or the database did not answer is tried again, and after how many
# seconds.
TRIES, RETRY_S = 20, 5.0
CLAIM = "executor"
# Seconds for which one waits for another of its name, whose calls have just ended.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class _New:
    """A call that was not sent."""

    call: CallPickles
    future: CallFuture
    chunk: int | None


class Dispatcher:
    """The calls of one executor, those to send and those that are awaited."""

    def __init__(self, calls: CallSweep, *, cache: bool, throttle: int) -> None:
        self._calls, self._cache, self._throttle = calls, cache, throttle
        # Guards everything below but `_sent`, which is the thread's own while there is one.
        self._changed = threading.Condition()
        self._new: deque[_New] = deque()
        self._first_s = self._last_s = 0.0
        self._holds = 0
        self._is_flushed = False
        self._has_cancelled = False
        self._thread: threading.Thread | None = None
        # Held by the thread while it works: one that ends still has the claim of the sweep.
        self._at_work = threading.Lock()
        self._batch: list[_New] = []
        self._sent: dict[int, list[CallFuture]] = {}
        # Whether the cluster is the user's own, and may be polled often.
        self._is_own = True
        # Calls of earlier processes, which these may not have sent.
        self._unsure: set[int] = set()

    # --- for the threads of the user ---------------------------------------------------------

    def add(self, call: CallPickles, chunk: int | None) -> CallFuture:
        """Take a call; returns its future."""
        future = CallFuture(self._note_cancelled)
        with self._changed:
            self._last_s = time.monotonic()
            self._first_s = self._first_s if self._new else self._last_s
            self._new.append(_New(call, future, chunk))
            self._start()
        return future

    def recover(self) -> list[CallFuture]:
        """The futures of all calls of earlier processes, in their order. Sends what is missing.

        *Raises* SweepBusy, SweepError.
        """
        self.join()
        if not (self._calls.path / MARKER).is_file():
            raise SweepError(
                "there are no calls of this name",
                where=str(self._calls.path),
                next_step="Check the name, and the directory from which it was used.",
            )
        with self._claimed():
            futures = [CallFuture(self._note_cancelled) for _ in range(self._calls.load())]
        with self._changed:
            for index, future in enumerate(futures):
                future.index = index
                self._sent.setdefault(index, []).append(future)
            self._unsure = set(self._sent)
            if futures:
                self._start()
        return futures

    @contextmanager
    def held(self) -> Iterator[None]:
        """Send the calls of the block as one array."""
        with self._changed:
            self._holds += 1
        try:
            yield
        finally:
            with self._changed:
                self._holds -= 1
                self._is_flushed |= not self._holds
                self._changed.notify_all()

    def flush(self) -> None:
        """Send what waits for other calls now."""
        with self._changed:
            self._is_flushed = True
            self._changed.notify_all()

    def cancel_all(self) -> None:
        """Cancel all calls that have not begun."""
        with self._changed:
            futures = [new.future for new in self._new]
            futures += [future for several in self._sent.values() for future in several]
        for future in futures:
            future.cancel()

    def join(self) -> None:
        """Wait until all calls have ended."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _note_cancelled(self) -> None:
        with self._changed:
            self._has_cancelled = True
            self._changed.notify_all()

    def _start(self) -> None:
        """Start the thread if there is none. It is no daemon: a program ends when its calls have.

        The caller holds the lock.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"hpcsweep {self._calls.path}")
            self._thread.start()
        self._changed.notify_all()

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        """Work; whoever waits for a future that nobody settles would wait for ever."""
        problem: HpcsweepError | None = CallFailed("the executor failed; please report this")
        try:
            with self._claimed():
                self._calls.load()
                self._work()
            problem = None
        except HpcsweepError as error:
            problem = error
        finally:
            if problem is not None:
                self._give_up(problem)

    def _work(self) -> None:
        pause_s, tries = 0.0, 0
        while (batch := self._next_batch(pause_s)) is not None:
            try:
                if batch:
                    self._send(batch)
                    # Only who has a future keeps its result alive.
                    batch = self._batch = []
                self._cancel()
                # Without the programs of the user's own cluster, each a Python that starts.
                clock = time.thread_time if self._is_own else time.monotonic
                begun = clock()
                if self._sent:
                    self._settle()
                pause_s, tries = poll_pause(clock() - begun, is_own=self._is_own), 0
            except HpcsweepError as error:
                tries += 1
                if not error.transient or tries > TRIES:
                    raise
                _log.warning("%s; trying again", error.what)
                pause_s = RETRY_S

    def _next_batch(self, pause_s: float) -> list[_New] | None:
        """The calls to send next, none after `pause_s`; None when there is nothing more to do."""
        with self._changed:
            end = time.monotonic() + pause_s
            while True:
                now, due = time.monotonic(), self._due()
                if due is not None and due <= now:
                    return self._popped()
                if self._has_cancelled:
                    return []
                if not self._new and not self._sent:
                    self._thread = None
                    return None
                if self._sent and end <= now:
                    return []
                ends = [moment for moment in (due, end if self._sent else None) if moment]
                self._changed.wait(min(ends) - now if ends else None)

    def _due(self) -> float | None:
        """When the calls that wait are sent; None if there are none, or a block holds them."""
        if not self._new:
            self._is_flushed = False
            return None
        if self._is_flushed:
            return 0.0
        return None if self._holds else min(self._last_s + WINDOW_S, self._first_s + WINDOW_MAX_S)

    def _popped(self) -> list[_New]:
        """Take the calls that wait and have the same chunk."""
        self._batch = [self._new.popleft()]
        while self._new and self._new[0].chunk == self._batch[0].chunk:
            self._batch.append(self._new.popleft())
        return self._batch

    def _send(self, batch: Sequence[_New]) -> None:
        """Send calls as one array. An error becomes that of their futures."""
        try:
            modules = self._calls.modules_digest() if self._cache else None
            indices = set()
            for new in batch:
                if not new.future.cancelled():
                    new.future.index = index = self._calls.add(new.call, modules)
                    self._sent.setdefault(index, []).append(new.future)
                    indices.add(index)
                else:
                    new.future.begin()
            if indices:
                self._submit(indices, batch[0].chunk)
        except HpcsweepError as error:
            for new in batch:
                new.future.fail(error)
            self._drop_settled()

    def _submit(self, indices: Iterable[int], chunk: int | None = None) -> None:
        rerun = "failed" if self._cache else None
        self._calls.submit(indices, chunk, throttle=self._throttle, rerun=rerun)

    def _drop_settled(self) -> list[int]:
        """Forget futures that nobody waits for. Returns the indices that have none left."""
        left = {
            index: [future for future in futures if not future.done()]
            for index, futures in self._sent.items()
        }
        self._sent = {index: futures for index, futures in left.items() if futures}
        return [index for index, futures in left.items() if not futures]

    def _cancel(self) -> None:
        """Cancel on the cluster the calls all of whose futures were cancelled."""
        with self._changed:
            self._has_cancelled = False
        for future in (each for several in self._sent.values() for each in several):
            if future.cancelled():
                future.begin()  # tells whoever waits
        indices = self._drop_settled()
        if not indices:
            return
        try:
            self._calls.sweep.cancel(cases=indices, notify=None)
        except HpcsweepError as error:  # nobody waits for these calls any more
            _log.warning("cancelled calls may run: %s", error.what)

    def _resend(self) -> None:
        """Send the calls of earlier processes that these did not send."""
        sweep = self._calls.sweep
        sweep.advance(notify=None)  # finds out whether an unanswered sbatch was accepted
        states = call_states(sweep, self._unsure & self._sent.keys())
        never_sent = states.unsent - states.outlook.begun - states.cancelled
        self._unsure.clear()
        if never_sent:
            self._submit(never_sent)

    def _settle(self) -> None:
        """Settle the calls that have ended, which needs no cluster; then see to the others."""
        sweep = self._calls.sweep
        states = call_states(sweep, self._sent)
        self._is_own = states.is_own
        self._set(states.answers)
        for index in states.running:
            for future in self._sent.get(index, ()):
                future.begin()
        for index in states.cancelled:
            for future in self._sent.pop(index, ()):
                future.withdraw()
        if self._sent and self._unsure:
            self._resend()
        elif self._sent and not states.under_way:
            self._go_on()

    def _go_on(self) -> None:
        """Send what retries repeat and what has room now; without any, no answer will come."""
        sweep = self._calls.sweep
        done = sweep.advance(notify=None)
        if not (done.plans or done.without_room or done.paused):  # nothing more will happen
            self._set(last_answers(sweep, self._sent))

    def _set(self, answers: dict[int, CallAnswer | CallFailed]) -> None:
        """Settle futures, and take out their answers."""
        for index in list(answers):
            answer = answers.pop(index)
            for future in self._sent.pop(index, ()):
                if isinstance(answer, CallFailed):
                    future.fail(answer)
                else:
                    future.settle(answer, self._calls.function_of(index))

    def _give_up(self, error: HpcsweepError) -> None:
        """Set an error for all futures that have no answer."""
        with self._changed:
            waiting = [new.future for new in (*self._batch, *self._new)]
            self._new.clear()
            self._thread = None
        for future in (*waiting, *(each for several in self._sent.values() for each in several)):
            future.fail(error)
        self._sent.clear()

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Be the only one that adds calls to the sweep. *Raises* SweepBusy."""
        with self._at_work:
            place = make_directory(self._calls.created().path / CLAIMS)
            claim = claims.acquire(place, CLAIM, PATIENCE_S)
            if claim is None:
                raise SweepBusy(
                    "another executor of this name is at work",
                    where=str(self._calls.path),
                    next_step="Call again when its calls have ended, or give another name; one "
                    "executor can make all calls of a program.",
                )
            HEARTBEAT.add(claim)
            try:
                yield
            finally:
                claim.release()
