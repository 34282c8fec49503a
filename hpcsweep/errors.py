"""The tree of all errors that hpcsweep raises; each branch has its exit code.

    HpcsweepError                          1
    ├── InputError (ValueError)            3   what the user wrote
    │   ├── IdentityError                      a value that cannot be part of a case's identity
    │   ├── SourceError                        a parameter source or distribution
    │   ├── ManifestError                      a manifest; carries every mistake found in it
    │   └── ExtraMissing (RuntimeError, ImportError)        a library that a call needs is absent
    ├── TargetError                        4   the target or a setup line would die in every task
    │   └── ResultMissing (RuntimeError, FileNotFoundError) no result where the cache needs one
    ├── SweepError                         5   the sweep directory
    │   ├── SweepBusy                          another submit is at work in it
    │   ├── CallFailed (RuntimeError)          a call of an executor ended without an answer
    │   ├── JournalError                       a journal cannot be opened, read or written
    │   ├── Damaged                            a file of the sweep is gone, or not as it was written
    │   ├── RunExists (FileExistsError)        a run directory is already there
    │   └── RunMissing (FileNotFoundError)     a run, or a file of one, is not there
    ├── ClusterError                       6   the cluster refused, or is not the recorded one
    │   ├── PartRefused                        it refused a part, and took those before it
    │   └── ClusterUnavailable             7   the cluster could not be asked (transient)
    ├── StoreError                         8   the database
    ├── Preempted                              a case has saved its state, as its task has to end
    └── Incomplete                         9   --wait ended and not every case is complete
        └── CasesFailed                        some cases of the cache's sweep; carries them

2 is click's own code for a wrong command line. Exit codes are used by `cli` and by the
programs that `program` runs only: the library never exits.
"""


class HpcsweepError(Exception):
    """Base of all: *what* happened, *where* (file, line, key) and *what next*.

    `transient` means that the same call may succeed later.

    Examples:
        >>> try:
        ...     hs.Sweep("never-submitted")
        ... except hs.HpcsweepError as error:
        ...     print(type(error).__name__, error.exit_code, error.transient)
        SweepError 5 False
    """

    exit_code = 1
    transient = False

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.next_step}" if self.next_step else text


class InputError(HpcsweepError, ValueError):
    """Input that cannot be used.

    Examples:
        >>> sweep.query("enrgy < 1")
        Traceback (most recent call last):
        hpcsweep.errors.InputError: ...'enrgy' is not a column...
    """

    exit_code = 3


class IdentityError(InputError):
    """A value that cannot be part of a case's identity; gives its path.

    Examples:
        >>> hs.grid(omega=[float("nan")])
        Traceback (most recent call last):
        hpcsweep.errors.IdentityError: ...nan has no JSON form...
    """


class SourceError(InputError):
    """An invalid parameter source or distribution.

    Examples:
        >>> hs.grid(omega=[1, 1.0])
        Traceback (most recent call last):
        hpcsweep.errors.SourceError: ...the values at 0 and 1 are the same: 1 and 1.0...
    """


class ManifestError(InputError):
    """An invalid manifest; `mistakes` has one line for each mistake.

    Examples:
        >>> try:
        ...     hs.Sweep("s", hs.grid(x=[1]), target="math:sqrt", chunk=-1)
        ... except hs.ManifestError as error:
        ...     print(len(error.mistakes))
        1
    """

    def __init__(
        self, what: str, *, where: str = "", next_step: str = "", mistakes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.mistakes = mistakes

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {mistake}" for mistake in self.mistakes)])


class ExtraMissing(InputError, RuntimeError, ImportError):
    """An optional library that this call needs is not installed.

    Examples:
        >>> issubclass(hs.ExtraMissing, hs.InputError), hs.ExtraMissing.exit_code
        (True, 3)
    """


class TargetError(HpcsweepError):
    """The target or a setup line would fail in every task.

    `lacks_module` means that its interpreter does not have a module that it imports.

    Examples:
        >>> hs.Sweep("s", hs.grid(x=[1]), target="model.py:nothing", cluster="emulated").submit()
        Traceback (most recent call last):
        hpcsweep.errors.TargetError: ...
    """

    exit_code = 4
    lacks_module = False


class ResultMissing(TargetError, RuntimeError, FileNotFoundError):
    """A runner wrote no result, or the file to register is missing; or it is empty.

    Examples:
        >>> issubclass(hs.ResultMissing, FileNotFoundError), hs.ResultMissing.exit_code
        (True, 4)
    """


class SweepError(HpcsweepError):
    """The sweep directory cannot be used as requested.

    Examples:
        >>> hs.Sweep("never-submitted")
        Traceback (most recent call last):
        hpcsweep.errors.SweepError: ...there is no sweep 'never-submitted'...
    """

    exit_code = 5


class SweepBusy(SweepError):
    """Another submit is working in the sweep directory.

    Examples:
        >>> hs.SweepBusy.exit_code, hs.SweepBusy.transient
        (5, True)
    """

    transient = True


class CallFailed(SweepError, RuntimeError):
    """A call of an executor ended without an answer: its process died, or its task was ended.

    Examples:
        >>> import os
        >>> with hs.Executor(cluster="emulated") as executor:
        ...     print(type(executor.submit(os._exit, 3).exception()).__name__)
        CallFailed
    """


class JournalError(SweepError):
    """A journal cannot be opened, read or written.

    Examples:
        >>> issubclass(hs.JournalError, hs.SweepError)
        True
    """


class Damaged(SweepError):
    """A file of the sweep is missing, or differs from what was written.

    Examples:
        >>> issubclass(hs.Damaged, hs.SweepError)
        True
    """


class RunExists(SweepError, FileExistsError):
    """A run directory of this name already exists.

    Examples:
        >>> with hs.Logbook("taken") as log:
        ...     pass
        >>> hs.Logbook("taken")
        Traceback (most recent call last):
        hpcsweep.errors.RunExists: ...
    """


class RunMissing(SweepError, FileNotFoundError):
    """A run, or a file of a run, does not exist.

    Examples:
        >>> hs.LogReader("outputs/log_none")
        Traceback (most recent call last):
        hpcsweep.errors.RunMissing: ...
    """


class ClusterError(HpcsweepError):
    """The cluster refused, or it is not the recorded one.

    Examples:
        >>> hs.ClusterError.exit_code, hs.ClusterError.transient
        (6, False)
    """

    exit_code = 6


class PartRefused(ClusterError):
    """A part of a submission was refused; earlier parts were accepted and continue.

    Examples:
        >>> issubclass(hs.PartRefused, hs.ClusterError)
        True
    """


class ClusterUnavailable(ClusterError):
    """The cluster could not be asked: nothing is known, and no state may be derived from it.

    Examples:
        >>> hs.ClusterUnavailable.exit_code, hs.ClusterUnavailable.transient
        (7, True)
    """

    exit_code = 7
    transient = True


class StoreError(HpcsweepError):
    """The database could not be read or written.

    `damaged` means that a rebuild from the journals is the remedy.

    Examples:
        >>> hs.StoreError.exit_code, hs.StoreError.transient
        (8, False)
    """

    exit_code = 8
    damaged = False


class Preempted(HpcsweepError):
    """The task of this case has to end, and the case has just saved its state.

    Let it pass: the next attempt of the case continues from that state.

    Examples:
        >>> issubclass(hs.Preempted, hs.HpcsweepError)
        True
    """


class Incomplete(HpcsweepError):
    """Waiting ended before every case was complete.

    Examples:
        >>> sweep.wait()
        Traceback (most recent call last):
        hpcsweep.errors.Incomplete: ...not every case is complete: 2 complete, 1 failed of 3...
    """

    exit_code = 9


class CasesFailed(Incomplete):
    """Some cases of a sweep through the cache failed; the results of the others are kept.

    `records` has the record of each case in input order, None for a failed one; `failures` the
    exceptions by position. The exceptions are also the cause of this error, as a group.

    Examples:
        >>> error = hs.CasesFailed("1 of 2 failed", failures={0: ValueError("no such frequency")})
        >>> error.failures
        {0: ValueError('no such frequency')}
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        next_step: str = "",
        records: tuple[object, ...] = (),
        failures: "dict[int, BaseException] | None" = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.records = records
        self.failures: dict[int, BaseException] = failures or {}
