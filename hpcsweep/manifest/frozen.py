"""The frozen manifest: the resolved copy in the sweep directory, never changed once written.

    manifests/<fingerprint>/sweep.json    this record
                            cases.jsonl   explicit cases only, with its offset index
                            cases.idx
                            kept-….bits   what a condition keeps of many combinations

Standard library only: the worker reads it. A changed manifest is a new directory beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hpcsweep import files, ids
from hpcsweep.errors import Damaged, SweepError
from hpcsweep.older_python import dataclass
from hpcsweep.records import ARRAY, SINGLE_JOB, CaseNeeds, Resources
from hpcsweep.sources.keys import ONLY_COPY
from hpcsweep.sources.registry import source_from_manifest_dict

if TYPE_CHECKING:
    from hpcsweep.sources.base import ParameterSource

T = TypeVar("T")

# A long option of sbatch, and its value: any text of one line; sbatch checks the rest.
OPTION_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
OPTION_VALUE = re.compile(r"[^\n\r\0]+")

FORMAT = 1
# Digits of the SHA-256 of a file of lines by which a later version knows it again.
DIGEST_DIGITS = 32
FILE_NAME = "sweep.json"
# What next, where that file is not there.
IF_MISSING = (
    f"{ONLY_COPY} If no cases were appended, `hpcsweep submit` with the same manifest writes it "
    "again."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupLine:
    """One step that prepares the environment of the worker."""

    # Without a line break: a trusted line of shell, or the name of a module or conda environment.
    text: str
    # File and line without directories: "manifest.yaml:12".
    where: str
    # "line", "module" or "conda".
    kind: str = "line"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInterpreter:
    """The interpreter that runs worker and target, if it is not that of hpcsweep itself."""

    # Its absolute path, or a name that is searched on PATH behind the setup lines; in a container
    # its path or name there.
    python: str
    # The key that names it, as in `SetupLine.where`.
    where: str
    # Absolute path of the container image; None for none.
    container: str | None = None
    # Further options of `apptainer exec`.
    container_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What runs a case: a Python function, of a file or of a module, or a command."""

    # A .py file relative to `FrozenManifest.root`; None for a module or a command.
    file: str | None = None
    # The dotted name of an importable module; None for a file or a command.
    module: str | None = None
    # Qualified name in the file or module, e.g. "simulate" or "Model.step"; None for a command.
    function: str | None = None
    # The command; empty exactly where there is a function. Elements hold placeholders: {omega},
    # {run_dir}, {seed}, {case_id}, {index}, {params_json}; {{ and }} are literal braces.
    argv: tuple[str, ...] = ()

    @property
    def is_command(self) -> bool:
        """Whether the target is a command and not a Python function."""
        return self.function is None

    @property
    def text(self) -> str:
        """The target as the user wrote it; a command quoted for a shell."""
        if not self.is_command:
            return f"{self.file or self.module}:{self.function}"
        import shlex  # noqa: PLC0415  # for messages; tasks do not need it

        return shlex.join(self.argv)


# Names that a cache fills itself; no parameter can have one of them.
CACHE_FILLS = ("id", "result_file", "created_at", "custom_data")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Where results are kept by their params, for a `Store` and for other sweeps."""

    # Relative to `FrozenManifest.root`, or absolute.
    results_dir: str
    # Suffix of the name of every result.
    file_suffix: str = ".h5"
    # The model of the table; None for a cache of files only.
    result_cls: Target | None = None
    # The database of the table, as in `Store`, relative to root; None leaves it to the Store.
    db_url: str | None = None
    # Whether an existing result is used instead of running the case.
    use_cache: bool = False
    # Plain values; stored beside each result.
    custom_data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenManifest:
    """The resolved manifest: merged once from file, profile and command line."""

    # A slug: letters, digits, "._-", at most 64 characters.
    name: str
    # Absolute directory of the user's manifest: relative paths of the target start here.
    root: str
    # What runs a case.
    target: Target
    # The parameter source without replicates, from its `to_frozen_dict()`.
    source: dict[str, Any]
    # Count of repetitions of every case, >= 1.
    replicates: int = 1
    # Any integer; every case derives its own seed from it.
    seed: int = 0
    # In the order of execution.
    setup: tuple[SetupLine, ...] = ()
    # None for the interpreter that hpcsweep is installed in.
    interpreter: TaskInterpreter | None = None
    # sbatch's long options without the dashes; an option without a value has "".
    resources: Resources = field(default_factory=Resources)
    # By default a task runs one case at a time, which has all of it.
    needs: CaseNeeds = field(default_factory=CaseNeeds)
    # Cases per array task, >= 1; None leaves it to the plan.
    chunk: int | None = None
    # Where the index is: "sqlite" for a file in the sweep directory.
    store: str = "sqlite"
    # Which cases keep a run directory: "auto", "all" or "none".
    runs: str = "auto"
    # Seconds after which one case is ended, > 0; None for the job's limit alone.
    case_timeout_s: float | None = None
    # "private" (directories 0700) or "group".
    share: str = "private"
    # SHA-256 in hex of `cases.jsonl`; None where the source needs no such file.
    cases_sha256: str | None = None
    # None for a sweep without a cache.
    cache: Cache | None = None
    # What the sweep does by itself, as `policies.Policies` writes it; empty for nothing.
    policies: dict[str, Any] = field(default_factory=dict)
    # Which of the user's files each submission keeps besides the imported ones: those that match
    # these patterns, relative to `root`; () those that git tracks; None keeps no file at all.
    snapshot: tuple[str, ...] | None = ()
    # "case": a process for each case of a function; "task": one for all cases of a slot.
    isolation: str = "case"
    # The files that a case reads, see `input_files.names_of`.
    inputs: tuple[str, ...] = ()
    # The files, relative to `root`, whose values every case gets, by the name of the argument; a
    # case has the file's digest as a parameter of this name.
    fixed: dict[str, str] = field(default_factory=dict)
    # What the params and metrics of a case that ended without error must satisfy, see
    # `conditions.outcome_check`; "" for nothing.
    ok_if: str = ""
    # What runs the chunks: one of `records.MODES`.
    mode: str = ARRAY
    # Count of whole nodes that run them; 0 for array tasks.
    nodes: int = 0
    # 16 hex digits over all of the above; "" until `sealed`.
    fingerprint: str = ""
    # In a task, the copy of `root` that its submission keeps; "" for `root` itself. Not written.
    code_root: str = ""

    @property
    def node_jobs(self) -> int:
        """Count of the jobs of whole nodes that run the chunks; 0 for array tasks."""
        return 1 if self.mode == SINGLE_JOB else self.nodes

    @property
    def code(self) -> Path:
        """The directory from which the user's code is imported or executed."""
        return Path(self.code_root or self.root)

    def orders_like(self, other: FrozenManifest) -> bool:
        """Whether both give every case the same index, as far as is known without the cases."""
        return self.fingerprint == other.fingerprint or (
            self.replicates == other.replicates
            and self.cases_sha256 == other.cases_sha256
            # As values of a case 1 equals 1.0 and differs from True; in Python all three are equal.
            and ids.canonical(self.source) == ids.canonical(other.source)
        )

    def extends(self, other: FrozenManifest) -> bool:
        """Whether every case of `other` has the same index here, before others that were appended.

        As far as is known without the cases.
        """
        if self.orders_like(other):
            return True
        if self.replicates != other.replicates:
            return False
        earlier = other._line_files()
        if earlier and self._line_files()[: len(earlier)] == earlier:
            return True
        return len(earlier) == 1 and other.cases_sha256 in self.source.get("extends", ())

    def _line_files(self) -> list[tuple[int, str]]:
        """The files of its lines: index behind the last case of each, beginning of its digest."""
        if self.cases_sha256 is None or self.source["type"] != "ManualSource":
            return []
        segments = [(end, digest) for _, end, digest in self.source.get("segments", ())]
        return [*segments, (self.source["total_cases"], self.cases_sha256[:DIGEST_DIGITS])]


def to_json(manifest: FrozenManifest) -> dict[str, Any]:
    """The document in `sweep.json`."""
    document = {
        "format": FORMAT,
        "name": manifest.name,
        "root": manifest.root,
        "target": target_json(manifest.target),
        "source": manifest.source,
        "replicates": manifest.replicates,
        "seed": manifest.seed,
        "setup": [_setup_json(line) for line in manifest.setup],
        "slurm": dict(manifest.resources.options),
        "chunk": manifest.chunk,
        "store": manifest.store,
        "runs": manifest.runs,
        "case_timeout_s": manifest.case_timeout_s,
        "share": manifest.share,
        "cases_sha256": manifest.cases_sha256,
        "fingerprint": manifest.fingerprint,
    }
    cache = manifest.cache
    if cache is not None:  # without one as before caches existed: fingerprints stay the same
        model = None if cache.result_cls is None else target_json(cache.result_cls)
        document["cache"] = asdict(cache) | {"result_cls": model}
    if manifest.policies:
        document["policies"] = manifest.policies
    needs = {name: value for name, value in asdict(manifest.needs).items() if value is not None}
    if needs:
        document["needs"] = needs
    if manifest.mode != ARRAY:
        document |= {"mode": manifest.mode, "nodes": manifest.nodes}
    if manifest.interpreter is not None:
        document["interpreter"] = asdict(manifest.interpreter)
    if manifest.snapshot != ():
        document["snapshot"] = manifest.snapshot and list(manifest.snapshot)
    rarely = {"inputs": list(manifest.inputs), "fixed": manifest.fixed, "ok_if": manifest.ok_if}
    document |= {key: value for key, value in rarely.items() if value}
    if manifest.isolation != "case":
        document["isolation"] = manifest.isolation
    return document


def _setup_json(line: SetupLine) -> dict[str, str]:
    kind = {} if line.kind == "line" else {"kind": line.kind}
    return {"text": line.text, "where": line.where, **kind}


def target_json(target: Target) -> dict[str, Any]:
    """The form of a target in a frozen manifest."""
    if target.is_command:
        return {"argv": list(target.argv)}
    return {"file": target.file, "module": target.module, "function": target.function}


def target_of(document: dict[str, Any]) -> Target:
    """The target of `target_json`'s form. *Raises* TypeError."""
    return Target(**(document | {"argv": tuple(document.get("argv", ()))}))


def _patterns_of(document: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if document is None else tuple(document)


def _optional(
    document: Mapping[str, Any], key: str, read: Callable[[dict[str, Any]], T]
) -> T | None:
    return read(dict(document[key])) if key in document else None


def _interpreter_of(document: dict[str, Any]) -> TaskInterpreter:
    return TaskInterpreter(**(document | {"container_args": tuple(document["container_args"])}))


def _cache_of(document: dict[str, Any]) -> Cache:
    model = document["result_cls"]
    return Cache(**(document | {"result_cls": None if model is None else target_of(model)}))


def from_json(document: Mapping[str, Any], where: str = FILE_NAME) -> FrozenManifest:
    """The manifest in a `sweep.json`. *Raises* SweepError for another format or a missing key."""
    if document.get("format") != FORMAT:
        raise SweepError(
            f"has format {document.get('format')}, this program reads {FORMAT}",
            where=where,
            next_step="Use the hpcsweep that wrote it, or a newer one.",
        )
    try:
        return FrozenManifest(
            name=document["name"],
            root=document["root"],
            target=target_of(dict(document["target"])),
            source=document["source"],
            replicates=document["replicates"],
            seed=document["seed"],
            setup=tuple(SetupLine(**line) for line in document["setup"]),
            interpreter=_optional(document, "interpreter", _interpreter_of),
            resources=Resources(options=dict(document["slurm"])),
            chunk=document["chunk"],
            store=document["store"],
            runs=document["runs"],
            case_timeout_s=document["case_timeout_s"],
            share=document["share"],
            cases_sha256=document["cases_sha256"],
            cache=_optional(document, "cache", _cache_of),
            policies=dict(document.get("policies", {})),
            needs=CaseNeeds(**document.get("needs", {})),
            snapshot=_patterns_of(document.get("snapshot", ())),
            isolation=document.get("isolation", "case"),
            inputs=tuple(document.get("inputs", ())),
            fixed=dict(document.get("fixed", {})),
            ok_if=document.get("ok_if", ""),
            mode=document.get("mode", ARRAY),
            nodes=document.get("nodes", 0),
            fingerprint=document["fingerprint"],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"is damaged: {error!r}", where=where, next_step=ONLY_COPY) from error


def sealed(manifest: FrozenManifest) -> FrozenManifest:
    """The same manifest with the fingerprint of its content."""
    return replace(manifest, fingerprint=_fingerprint(to_json(manifest)))


def named(manifest: FrozenManifest, name: str) -> FrozenManifest:
    """The same manifest under the name that its sweep has now."""
    return manifest if manifest.name == name else sealed(replace(manifest, name=name))


def _fingerprint(document: Mapping[str, Any]) -> str:
    content = {key: value for key, value in document.items() if key != "fingerprint"}
    # Of the text, not of the values: 1 equals 1.0, but the function gets the written type.
    return ids.fingerprint(files.json_bytes(content).decode())


def read(directory: Path) -> FrozenManifest:
    """The frozen manifest in `manifests/<fingerprint>`, checked against the directory's name.

    Its cost does not depend on the count of cases: see `freezing.check_cases` for their file.
    *Raises* SweepError.
    """
    path = directory / FILE_NAME
    try:
        document = files.read_json(path)
    except Damaged as error:
        error.next_step = ONLY_COPY if path.exists() else IF_MISSING
        raise
    if not isinstance(document, dict):
        raise Damaged("is damaged: no JSON object", where=str(path), next_step=ONLY_COPY)
    manifest = from_json(document, str(path))
    try:
        fingerprint = _fingerprint(document)
    except (RecursionError, ValueError):  # not a JSON value: never written by us
        fingerprint = "of nothing"
    if not fingerprint == manifest.fingerprint == directory.name:
        raise Damaged(
            f"was changed: its content has the fingerprint {fingerprint}",
            where=str(path),
            next_step=ONLY_COPY,
        )
    return manifest


def open_source(directory: Path, manifest: FrozenManifest) -> ParameterSource:
    """The source of a frozen manifest, with its replicates. Makes no case."""
    source = source_from_manifest_dict(manifest.source, directory)
    return source.repeat(manifest.replicates)
