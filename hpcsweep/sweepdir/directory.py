"""The sweep directory: the paths of all its files (docs/explanation/design.md)."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Union, cast

from hpcsweep.errors import Damaged, SweepError
from hpcsweep.field_checks import (
    HEX16,
    NUMBER,
    TEXT,
    abbreviated,
    integer,
    mismatch,
    one_of,
    schema,
)
from hpcsweep.files import (
    GROUP_DIRECTORY,
    RESTORE,
    is_temporary,
    json_bytes,
    names,
    open_to_group,
    read_json,
    token,
    unreadable,
    unwritable,
)
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.older_python import dataclass
from hpcsweep.records import Resources
from hpcsweep.sweepdir.plan import Plan, PlanDocument, read_fact, read_plan
from hpcsweep.sweepdir.version import Version

if TYPE_CHECKING:
    from hpcsweep.undo import UndoLog

FORMAT = 1
MARKER = "sweep.json"
# Ends the name of the directory with the local runs of a sweep.
LOCAL_SUFFIX = ".local"
# Held by the process that changes the sweep.
CLAIMS = ".claims"
# The sweep index where the store is SQLite.
INDEX_NAME = "store.sqlite3"
# Entries that commands may leave in a directory where the first submit could not begin.
_LEFTOVERS = {CLAIMS, INDEX_NAME, f"{INDEX_NAME}-journal", "cluster.json", ".cluster.lock"}
_PART_FILE = re.compile(
    r"part-([0-9]{1,9})\.(intent|job|void|cancel|closing)(?:-([0-9]{1,9}))?\.json", re.ASCII
)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_MARKER = schema(
    {"format": integer(), "name": TEXT, "key": HEX16},
    {"share": one_of(("private", "group")), "archive": TEXT},
)

Identity = tuple[str, int, int, int, int]

# --- part facts ----------------------------------------------------------------------------------
# Each is a file of its own, `part-0000.KIND.json`; times are seconds of the epoch. Of a closing job
# that was submitted again the file is `part-0000.closing-N.json`, and the largest N counts.

FactKind = Literal["intent", "job", "void", "cancel", "closing"]


class IntentFact(TypedDict):
    """A part will be handed in under this unique name; written before sbatch."""

    job_name: str
    time: float


class _AnsweredFields(TypedDict, total=False):
    time: float


class _LearnedFields(_AnsweredFields, total=False):
    # How the id was learned, where sbatch did not answer.
    how: str


class JobFact(_LearnedFields):
    """The cluster took a part: the job id of its array."""

    job_id: str


class VoidFact(_AnsweredFields, total=False):
    """The cluster never took a part."""

    why: str


class CancelFact(TypedDict):
    """A user cancelled a part, and the cluster took the order."""

    time: float


class ClosingFact(TypedDict):
    """The closing job of a part was submitted."""

    job_id: str
    time: float


Fact = Union[IntentFact, JobFact, VoidFact, CancelFact, ClosingFact]


class PartFacts(TypedDict, total=False):
    """All facts of one part."""

    intent: IntentFact
    job: JobFact
    void: VoidFact
    cancel: CancelFact
    closing: ClosingFact


_FACTS = {
    "intent": schema({"job_name": TEXT, "time": NUMBER}),
    "job": schema({"job_id": TEXT}, {"time": NUMBER}),
    "void": schema({}, {"time": NUMBER}),
    "cancel": schema({"time": NUMBER}),
    "closing": schema({"job_id": TEXT, "time": NUMBER}),
}


def local_runs_path(sweep: Path) -> Path:
    """The directory of the local runs of a sweep, and of their frozen manifests: beside it."""
    return sweep.with_name(f"{sweep.name}{LOCAL_SUFFIX}")


class SweepPaths:
    """The paths below a sweep directory, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest_root(self) -> Path:
        """The directory of all versions of the manifest."""
        return self.path / "manifests"

    def manifest_dir(self, fingerprint: str) -> Path:
        """The directory of one frozen version of the manifest."""
        return self.manifest_root / fingerprint

    @property
    def journal_root(self) -> Path:
        """The directory of all journals."""
        return self.path / "journal"

    def journal_dir(self, submission: int) -> Path:
        """The journals of one submission."""
        return self.journal_root / f"{submission:04d}"

    def log_dir(self, submission: int) -> Path:
        """Slurm's own output of one submission, one file per array task."""
        return self.path / "logs" / f"{submission:04d}"

    @property
    def submission_root(self) -> Path:
        """The directory of all submissions."""
        return self.path / "submissions"

    def submission_dir(self, submission: int) -> Path:
        """The files of one submission."""
        return self.submission_root / f"{submission:04d}"

    def part_file(self, submission: int, part: int, kind: FactKind, again: int = 0) -> Path:
        """The path of a fact about one part; `again`: how often it was learned before."""
        number = f"-{again}" if again else ""
        return self.submission_dir(submission) / f"part-{part:04d}.{kind}{number}.json"

    def cancelled_rest(self, submission: int) -> Path:
        """Exists if a user cancelled what a submission left to later ones."""
        return self.submission_dir(submission) / "rest.cancel.json"

    @property
    def reduce_dir(self) -> Path:
        """The sweep directory of the reduce, which is a sweep of one case."""
        return self.path / "reduce"

    def table(self, submission: int) -> Path:
        """The table of all cases that a reduce reads, made when this submission was the last."""
        return self.path / "tables" / f"{submission:04d}.csv"

    @property
    def cancel_root(self) -> Path:
        """The cases that a user cancelled, see `cancelled`."""
        return self.path / "cancels"

    @property
    def code_root(self) -> Path:
        """The directory of all copies of the user's code."""
        return self.path / "code"

    def code_dir(self, digest: str) -> Path:
        """One copy of the user's code; `digest` is a `PlanDocument`'s snapshot."""
        return self.code_root / digest

    @property
    def checkpoint_root(self) -> Path:
        """The checkpoints of all cases, see `plan.checkpoint_dir`."""
        return self.path / "checkpoints"

    @property
    def attempt_root(self) -> Path:
        """The run directories of attempts that are not published."""
        return self.path / "runs" / ".attempts"


@dataclass(frozen=True, slots=True)
class SweepDirectory(SweepPaths):
    """One sweep on disk. Reading it creates nothing."""

    path: Path
    name: str
    # 16 hex digits; names the sweep in a database and in job names. Survives a move.
    key: str
    # "private" or "group"; never changes.
    share: str = "private"
    # Whether this command writes nothing into it, since the disk is full.
    is_read_only: bool = False
    # The archive that it was extracted from, without what is large; "" for a sweep of its own.
    archive: str = ""
    # Caches of immutable files: manifests by fingerprint, plans by their file, part facts by
    # their plan's file and by name.
    _versions: dict[str, Version] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _plans: dict[Identity, tuple[Plan, PlanDocument]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _facts: dict[Identity, dict[str, Fact]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @classmethod
    def open(cls, path: Path) -> SweepDirectory:
        """Open the sweep in `path`. *Raises* SweepError if there is none."""
        marker = path / MARKER
        try:
            is_sweep = marker.is_file()
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_sweep:
            raise SweepError(
                "is not a sweep directory",
                where=str(path),
                next_step="Name a directory that `hpcsweep submit` made, a sweep's name, "
                "or its manifest.",
            )
        value = read_json(marker)
        is_newer = isinstance(value, dict) and value.get("format", FORMAT) != FORMAT
        wrong = "" if is_newer else mismatch(value, _MARKER)
        if wrong:
            raise Damaged(f"is damaged: {wrong}", where=str(marker), next_step=RESTORE)
        if is_newer:
            raise SweepError(
                f"has format {abbreviated(value['format'])}, this program reads {FORMAT}",
                where=str(marker),
                next_step="Use the hpcsweep that wrote it, or a newer one.",
            )
        sweep = cls(
            path.resolve(),
            value["name"],
            value["key"],
            value.get("share") or "private",
            archive=value.get("archive", ""),
        )
        if sweep.share == "group":
            open_to_group(sweep.path)
        return sweep

    @classmethod
    def create(
        cls, path: Path, name: str, share: str = "private", made: UndoLog | None = None
    ) -> SweepDirectory:
        """Create a sweep directory, or open the existing one of this name. *Safe to repeat.*

        `share` is the manifest's; `made` records what this call created. *Raises* SweepError if the
        directory is something else. *Writes* `sweep.json`.
        """
        from hpcsweep.undo import UndoLog  # noqa: PLC0415  # a task creates no sweep

        made = made or UndoLog()
        if not make_sweep_directory(path, share, made):
            marker = {"format": FORMAT, "name": name, "key": token()}
            marker |= {"share": share} if share != "private" else {}
            with contextlib.suppress(FileExistsError):
                made.file(path / MARKER, json_bytes(marker))
        sweep = cls.open(path).writable()
        if sweep.name != name:
            raise SweepError(
                f"belongs to the sweep {sweep.name!r}, not {name!r}",
                where=str(path),
                next_step="Give the manifest another name, or choose another --outputs directory.",
            )
        if sweep.share != share:
            raise SweepError(
                f"was made with share: {sweep.share}, and the manifest says {share}",
                where=str(path),
                next_step=f"Write share: {sweep.share}, or give the manifest another name; `chmod "
                "-R g+rX` opens to the group what is finished, `chmod -R g-rwx` closes it.",
            )
        return sweep

    @property
    def is_writable(self) -> bool:
        """Whether to write here: not on a read-only mount or a full disk, or in another's sweep."""
        return not (self.is_read_only or self.archive) and os.access(self.path, os.W_OK)

    def writable(self) -> SweepDirectory:
        """The same sweep, for a command that changes it. *Raises* SweepError for an archive."""
        if self.archive:
            raise SweepError(
                "is an archive, which can only be read",
                where=self.archive,
                next_step="`tar xf` makes a sweep directory of it again.",
            )
        return self

    @property
    def shown_path(self) -> str:
        """The path for people: of an archive, that of the tar."""
        return self.archive or str(self.path)

    def shown(self, path: Path) -> str:
        """The path for people of a file of the sweep."""
        return f"{self.archive}/{path.relative_to(self.path)}" if self.archive else str(path)

    def read_only(self) -> SweepDirectory:
        """The same sweep, for a command that keeps what it learns elsewhere."""
        return replace(self, is_read_only=True)

    def submissions(self) -> list[int]:
        """The numbers of all submissions, ascending."""
        numbers = filter(_NUMBER.fullmatch, names(self.submission_root))
        return sorted(map(int, numbers))

    def last_number(self) -> int:
        """The highest number that a submission has had; 0 without one.

        Its journals are there also where its own files were removed.
        """
        used = [*names(self.submission_root), *names(self.journal_root)]
        return max(map(int, filter(_NUMBER.fullmatch, used)), default=0)

    def plan(self, submission: int) -> tuple[Plan, PlanDocument]:
        """The plan of a submission, and the document that contains it. Read once."""
        path = self.submission_dir(submission) / "plan.json"
        key = _identity(path)
        if key is None:
            return read_plan(path)  # *raises* Damaged, naming what is missing
        if key not in self._plans:
            self._plans[key] = read_plan(path)
        return self._plans[key]

    def version(self, fingerprint: str) -> Version:
        """One version of the manifest. Read once. *Raises* Damaged."""
        if fingerprint not in self._versions:
            self._versions[fingerprint] = Version.read(self.manifest_dir(fingerprint))
        return self._versions[fingerprint]

    def with_kept_code(self, manifest: FrozenManifest, document: PlanDocument) -> FrozenManifest:
        """A submission's manifest with the copy of the code that it keeps, if any.

        *Raises* SweepError if the copy is gone.
        """
        snapshot = document.get("snapshot")
        if snapshot is None:
            return manifest
        code = self.code_dir(snapshot)
        if not code.is_dir():
            raise SweepError(
                f"the code of submission {document['submission']} is gone",
                where=str(code),
                next_step="Run `hpcsweep submit` with the manifest: it keeps the code again.",
            )
        return replace(manifest, code_root=str(code))

    def resources(self, plan: Plan) -> Resources:
        """What the array tasks of a submission ask for. *Raises* Damaged."""
        return plan.resources(self.version(plan.manifest).manifest.resources)

    def freeze(self, version: Version, made: UndoLog | None = None) -> None:
        """Write a version of the manifest, and read it back. *Safe to repeat.*

        `made` records what this call created. *Raises* SweepError, Damaged. *Writes* a manifest.
        """
        from hpcsweep.manifest import freezing  # noqa: PLC0415  # no task freezes

        manifest = version.manifest
        directory = freezing.write(self.path, manifest, version.source, made)
        # The cases as read back from the file: plain JSON, whatever source made them.
        kept = Version(manifest, lambda: frozen.open_source(directory, manifest))
        self._versions.setdefault(manifest.fingerprint, kept)

    def newest(self) -> Version:
        """The version whose index order applies now. *Raises* like `newest_manifest`."""
        return self.version(self.newest_manifest())

    def newest_manifest(self) -> str:
        """The fingerprint of the manifest whose index order applies now: the last submission's.

        *Raises* SweepError before the first submission.
        """
        numbers = self.submissions()
        if not numbers:
            # No task needs it.
            import shlex  # noqa: PLC0415

            from hpcsweep.sweepdir.followers import is_sent_when  # noqa: PLC0415

            when, argument = is_sent_when(self.path), shlex.quote(str(self.path))
            raise SweepError(
                "nothing was submitted yet",
                where=str(self.path),
                next_step="Run `hpcsweep submit` with the manifest."
                if when is None
                else f"It is sent when {when}; `hpcsweep cancel {argument}` gives that up.",
            )
        return self.plan(numbers[-1])[0].manifest

    def part_facts(self, submission: int) -> dict[int, PartFacts]:
        """The facts of all parts. Each is read once."""
        facts: dict[int, dict[str, Fact]] = {}
        newest: dict[tuple[str, str], int] = {}
        folder = self.submission_dir(submission)
        key = _identity(folder / "plan.json")
        contents = {} if key is None else self._facts.setdefault(key, {})
        for name in names(folder):
            match = _PART_FILE.fullmatch(name)
            if match:
                if name not in contents:
                    contents[name] = read_fact(folder / name, _FACTS[match[2]])
                again = int(match[3] or 0)
                if newest.setdefault((match[1], match[2]), again) <= again:
                    newest[match[1], match[2]] = again
                    facts.setdefault(int(match[1]), {})[match[2]] = contents[name]
        return cast("dict[int, PartFacts]", facts)


def _identity(path: Path) -> Identity | None:
    """Distinguish the files of a submission from those of a later one with the same number.

    A refused submit removes its files. Returns None if the file does not exist.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    return str(path), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def make_sweep_directory(path: Path, share: str, made: UndoLog) -> bool:
    """Create the directory of a sweep. Returns whether it already is a sweep directory.

    With `share: group`, created parents are open to the group, too. `made` records what this call
    created. *Raises* SweepError if something else exists there.
    """
    # The temporary marker of another create, which is at work or was killed; a name of the second
    # form is from an older version.
    entries = {
        name
        for name in names(path)
        if not is_temporary(name) and not name.startswith(f".{MARKER}.")
    }
    if MARKER in entries:
        return True
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    if not missing and (entries - _LEFTOVERS or not path.is_dir()):
        raise SweepError(
            "is in the way: it is not a sweep directory",
            where=str(path),
            next_step="Move it, or choose another name or --outputs directory.",
        )
    made.directory(path)
    if share == "group":
        for directory in (path, path.resolve()):  # the path as given, and as resolved
            open_to_group(directory)
        try:
            for directory in {path, *missing}:
                directory.chmod(GROUP_DIRECTORY)
        except OSError as error:
            raise unwritable(path, error) from error
    return False
