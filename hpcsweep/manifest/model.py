"""The keys of a manifest; their values are checked in `key_values`.

pydantic finds unknown and missing keys and continues after a mistake; the messages are ours.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpcsweep.manifest import (
    canary_keys,
    check_keys,
    environment_keys,
    exclusive,
    fixed_keys,
    halving_keys,
    input_keys,
    limit_keys,
    notify_keys,
    policy_keys,
    requeue_keys,
    search_keys,
    slurm_options,
    source_schema,
    stop_keys,
)
from hpcsweep.manifest.key_values import (
    Chunk,
    Count,
    CustomData,
    DatabaseUrl,
    Isolation,
    Line,
    Memory,
    Mode,
    Name,
    OptionalCount,
    Runs,
    Seconds,
    SetupLines,
    Share,
    SlurmOptions,
    Snapshot,
    StoreName,
    Suffix,
    Switch,
    When,
    Whole,
)
from hpcsweep.manifest.mistakes import Mistakes


def _key(description: str, **schema: Any) -> Any:
    """The description of a key for `hpcsweep schema`, and its schema if the type has none."""
    return Field(description=description, json_schema_extra=schema or None)


class UserManifest(BaseModel):
    """The keys of a manifest; target_spec and source_spec check the values of theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Name, _key("Names the sweep and its directory.")]
    # Exactly one of target and command.
    target: Annotated[
        Any,
        _key(
            "A Python function: file.py:function, relative to the manifest, or module:function.",
            type="string",
            pattern=r"^(?!.*://).+:[^:]+$",
        ),
    ] = None
    command: Annotated[
        Any,
        _key(
            "A program and its arguments, one element each; {omega} becomes the parameter's value.",
            type="array",
            items={"type": "string"},
            minItems=1,
        ),
    ] = None
    source: Annotated[Any, _key("The cases.")]
    search: Annotated[
        search_keys.SearchValue,
        _key(
            "Cases that are found batch by batch in the space of the source, by an objective of "
            "earlier ones."
        ),
    ] = None
    inputs: Annotated[
        input_keys.Inputs,
        _key(
            "The files that a case reads: columns or parameters with their paths, or patterns "
            "such as reads/{sample}_*.fq."
        ),
    ] = ()
    fixed: Annotated[
        fixed_keys.Fixed,
        _key(
            "Arguments of the function that every case gets from a file: .npy, .npz or .json; its "
            "digest is part of each case."
        ),
    ] = {}
    replicates: Annotated[
        Count, _key("How often each case is run, each time with a seed of its own.")
    ] = 1
    seed: Annotated[Whole, _key("Every case derives its own seed from it.")] = 0
    modules: Annotated[
        environment_keys.Modules, _key("Modules that are loaded in order, before all else.")
    ] = []
    conda: Annotated[
        Line,
        _key("A conda environment, by name or prefix, that is activated behind the modules."),
    ] = None
    setup: Annotated[
        SetupLines, _key("Trusted lines of shell, run in order before the worker.")
    ] = []
    python: Annotated[
        Line,
        _key(
            "The interpreter of worker and target: a path, the prefix of a venv or conda "
            "environment, or a name on PATH; hpcsweep need not be installed in it."
        ),
    ] = None
    container: Annotated[Line, _key("An image of Apptainer, in which worker and target run.")] = (
        None
    )
    container_args: Annotated[
        environment_keys.ContainerArgs, _key("Further options of `apptainer exec`.")
    ] = []
    slurm: Annotated[SlurmOptions, _key("sbatch's own long options without the dashes.")] = {}
    mode: Annotated[
        Mode,
        _key("What runs the chunks: array tasks, jobs of one whole node each, or a single job."),
    ] = "array"
    cpus_per_case: Annotated[
        OptionalCount, _key("CPUs of one case; a task runs as many cases at once as it has CPUs.")
    ] = None
    mem_per_case: Annotated[
        Memory, _key("Memory of one case; a task runs no more cases at once than fit.")
    ] = None
    gpus_per_case: Annotated[
        OptionalCount, _key("GPUs of one case, which sees no others of its task.")
    ] = None
    slots: Annotated[OptionalCount, _key("The most cases that a task runs at once.")] = None
    isolation: Annotated[
        Isolation,
        _key("Whether each case of a function has its own process, or those of a slot share one."),
    ] = "case"
    chunk: Annotated[Chunk, _key("How many cases an array task runs, or auto.")] = None
    case_seconds: Annotated[
        Seconds, _key("Seconds, or HH:MM:SS, that a case takes: chunk auto is made from it.")
    ] = None
    canary: Annotated[
        canary_keys.CanaryValue,
        _key("How many cases go first; the others follow when one of them is complete."),
    ] = None
    store: Annotated[
        StoreName,
        _key(
            "sqlite, a PostgreSQL URL without a password, or the name of an environment variable."
        ),
    ] = "sqlite"
    runs: Annotated[Runs, _key("Which cases keep a run directory, and how.")] = "auto"
    retry: Annotated[
        policy_keys.RetryValue,
        _key("Which cases are run again by themselves, how often, and with what."),
    ] = None
    requeue: Annotated[
        Switch | None,
        _key(
            "Whether Slurm starts a task again that has to end with cases left; by default as the "
            "cluster does (JobRequeue).",
            type="boolean",
        ),
    ] = None
    checkpoint_signal: Annotated[
        requeue_keys.CheckpointSignal,
        _key("What a command gets before TERM when its task has to end, to save its state."),
    ] = None
    stop_after: Annotated[
        stop_keys.StopValue,
        _key("After how many failed cases, or which share of all, nothing more is run."),
    ] = None
    notify: Annotated[
        notify_keys.NotifyValue,
        _key("Who is told once that the sweep is complete, stopped or paused: address or command."),
    ] = None
    closing: Annotated[
        policy_keys.ClosingValue,
        _key("sbatch's long options of the small jobs that go on with a sweep; false for none."),
    ] = {}
    reduce: Annotated[
        Any,
        _key(
            "A Python function, or a command, that runs once over the table of the whole sweep.",
            anyOf=[
                {"type": "string", "pattern": r"^(?!.*://).+:[^:]+$"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
        ),
    ] = None
    reduce_when: Annotated[
        When, _key("Whether `reduce` needs every case complete, or only that nothing more runs.")
    ] = "complete"
    reduce_slurm: Annotated[
        SlurmOptions, _key("sbatch's long options of `reduce`, over those of the array tasks.")
    ] = {}
    limits: Annotated[
        limit_keys.LimitsValue,
        _key("Limits that hold instead of those that the cluster tells."),
    ] = None
    case_timeout: Annotated[
        Seconds, _key("Seconds, or HH:MM:SS, after which one case is ended.")
    ] = None
    ok_if: Annotated[
        check_keys.OkIf,
        _key(
            "What the params and metrics of a case must satisfy; else it is failed: check, with "
            "its metrics: isfinite(loss) and drift < 1e-3."
        ),
    ] = None
    share: Annotated[
        Share, _key("Who may read the sweep directory: its user alone, or the user's group.")
    ] = "private"
    snapshot: Annotated[
        Snapshot,
        _key(
            "The code that a submission keeps, so that no edit reaches its tasks: auto (imported "
            "and tracked files), none, or patterns of files besides the imported ones."
        ),
    ] = ()
    # Of a cache, see cache_spec.
    result_cls: Annotated[
        Any,
        _key(
            "The model of a Store: file.py:Class, relative to the manifest, or module:Class.",
            type="string",
            pattern=r"^(?!.*://).+:[^:]+$",
        ),
    ] = None
    results_dir: Annotated[
        Line, _key("Where a Store has its results, relative to the manifest.")
    ] = None
    file_suffix: Annotated[Suffix, _key("How the names of results end.")] = ".h5"
    db_url: Annotated[
        DatabaseUrl,
        _key("The database of the Store, without a password; it has the table of results."),
    ] = None
    use_cache: Annotated[Switch, _key("Whether a result that is there is taken, or made anew.")] = (
        False
    )
    custom_data: Annotated[CustomData, _key("Noted beside each result.")] = {}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, for editors. Only the loader finds every mistake."""
    schema = UserManifest.model_json_schema()
    for key in schema["properties"].values():
        key.pop("title", None)
        if key.get("default", 0) is None:
            del key["default"]
    schema["properties"]["source"]["$ref"] = "#/$defs/Source"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "hpcsweep manifest",
        "description": "What to run, for which parameters, and what each task asks of Slurm.",
        "oneOf": [{"required": ["target"]}, {"required": ["command"]}],
        "$defs": source_schema.definitions(),
    }


def validate(
    raw: dict[str, Any], mistakes: Mistakes, plugin_options: Collection[str] = ()
) -> UserManifest | None:
    """The manifest of these keys; None when there are mistakes."""
    for key in ("closing", "reduce_slurm"):
        if isinstance(raw.get(key), dict):
            _check_options(key, raw[key], plugin_options, mistakes)
            _check_together(key, raw[key], mistakes)
    options = raw.get("slurm")
    if isinstance(options, dict):
        _check_options("slurm", options, plugin_options, mistakes)
        _check_together("slurm", options, mistakes)
        raw = {key: value for key, value in raw.items() if key != "slurm"}
    try:
        model = UserManifest.model_validate(raw)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            _translate(problem["type"], problem["loc"], problem.get("ctx", {}), mistakes)
        return None
    return model.model_copy(update={"slurm": options or {}})


def _translate(
    kind: str, path: tuple[str | int, ...], context: dict[str, Any], mistakes: Mistakes
) -> None:
    if kind == "extra_forbidden":
        place = _place_elsewhere(path)
        if place:
            mistakes.add(path, "is no key of a manifest", place)
        else:
            mistakes.unknown_key(path, _NESTED.get(path[:-1], UserManifest).model_fields)
    elif kind == "missing":
        mistakes.add(path[:-1], f"the key {path[-1]!r} is missing", _MISSING.get(str(path[-1]), ""))
    else:
        mistakes.add(path, context.get("what", kind), context.get("next_step", ""))


def _place_elsewhere(path: tuple[str | int, ...]) -> str:
    """Where a key belongs that does not stand at the top of a manifest; empty if nobody knows."""
    if len(path) > 1:
        return ""
    name = str(path[0])
    if name not in _ELSEWHERE and slurm_options.name_problem(name) is None:
        return f"It is an option of sbatch: write it below `slurm:`, as in slurm: {{{name}: …}}."
    return _ELSEWHERE.get(name, "")


_IN_CONFIG = "~/.config/hpcsweep/config.yaml"
_ELSEWHERE = {
    "cluster": "A manifest is for any cluster. Name it when you submit (--cluster), or write "
    f"`cluster:` into a profile in {_IN_CONFIG}.",
    "profile": "Name a profile on the command line: --profile.",
    "profiles": f"Profiles are in {_IN_CONFIG}.",
    "settings": f"Settings are in {_IN_CONFIG}.",
}
# The models of keys that are mappings, by the path of the mapping.
_NESTED: dict[tuple[str | int, ...], type[BaseModel]] = {
    **policy_keys.NESTED,
    ("stop_after",): stop_keys.StopKeys,
    ("limits",): limit_keys.LimitKeys,
    ("search",): search_keys.SearchKeys,
    ("search", "halving"): halving_keys.HalvingKeys,
}
_MISSING = {
    "failures": "Write, for example, failures: 20.",
    "max": "Write the largest budget, for example max: 81.",
    "n": "Write how many trials it has, for example n: 100.",
    "name": "Write, for example, name: oscillator.",
    "objective": "Write the name of a metric, for example objective: energy.",
    "resource": "Write the parameter that has the budget, for example resource: epochs.",
    "source": "Write, for example, source: {grid: {omega: [1.0, 2.0]}}.",
}


def _check_options(
    key: str, options: dict[str, Any], plugin_options: Collection[str], mistakes: Mistakes
) -> None:
    for name, value in options.items():
        problem = slurm_options.name_problem(name, plugin_options)
        problem = problem or slurm_options.value_problem(name, value)
        if (
            problem
            and key == "closing"
            and value is False
            and name in exclusive.same_request("mem")
        ):
            problem = (problem[0], "Remove it: a cluster that refuses an amount gets none.")
        if problem:
            mistakes.add((key, name), *problem)


def _check_together(key: str, options: dict[str, Any], mistakes: Mistakes) -> None:
    for name, other in exclusive.clashes(options):
        place = mistakes.where((key, other))
        mistakes.add((key, name), f"excludes {other} ({place})", "Keep one of them.")
