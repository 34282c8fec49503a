"""Read and check the user's manifest, and report all of its mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcsweep import yamltext
from hpcsweep.errors import ManifestError
from hpcsweep.manifest import (
    cache_spec,
    canary_keys,
    case_needs,
    environment_keys,
    fixed_keys,
    input_keys,
    limit_keys,
    mode_keys,
    model,
    policy_keys,
    reduce_spec,
    requeue_keys,
    search_keys,
    source_spec,
    stop_keys,
    target_spec,
)
from hpcsweep.manifest.frozen import FrozenManifest, Target, sealed
from hpcsweep.manifest.layers import Layers
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.passwords import refuse_passwords
from hpcsweep.manifest.policies import Policies
from hpcsweep.manifest.slurm_options import options_text
from hpcsweep.records import CaseNeeds, Resources
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.caselines import CaseLines

_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Replaces what a `source:` says of other sweeps by their cases; None after adding mistakes.
Expand = Callable[[Any, Mistakes], Any]


def load_manifest(
    path: Path,
    *,
    overrides: Mapping[str, Any] = _NOTHING,
    profile: Mapping[str, Any] = _NOTHING,
    plugin_options: Collection[str] = (),
    expand: Expand | None = None,
) -> tuple[FrozenManifest, ParameterSource]:
    """The manifest in `path` as it will be frozen, and its source with replicates.

    `profile` (its slurm, setup, store and limits) overrides the file, `overrides` (dotted keys of
    `--set`) override both; `plugin_options` are options that the site adds to sbatch; `expand`
    finds the cases of other sweeps. The target is not imported.
    *Raises* ManifestError with all `mistakes`, each with file and line.
    """
    return resolve(yamltext.load(path), path, overrides, profile, plugin_options, expand)


def resolve(
    document: yamltext.Document,
    path: Path,
    overrides: Mapping[str, Any] = _NOTHING,
    profile: Mapping[str, Any] = _NOTHING,
    plugin_options: Collection[str] = (),
    expand: Expand | None = None,
) -> tuple[FrozenManifest, ParameterSource]:
    """Like `load_manifest`, for a document from `path`, or made in Python."""
    if not isinstance(document.value, dict):
        raise ManifestError(
            "is empty" if document.value is None else "is not a mapping of keys to values",
            where=str(path),
            next_step="`hpcsweep init` writes a manifest to begin with.",
        )
    layers = Layers(document, profile)
    mistakes = Mistakes(layers.where, layers.position)
    layers.override(overrides, mistakes)
    raw, generated = layers.value, document.generated
    root = path.parent.resolve()

    refuse_passwords(raw, mistakes)
    fields = model.validate(raw, mistakes, plugin_options)
    spec = _source(raw, root, expand, mistakes)
    if fields is not None:
        _check_source(fields, spec.source, mistakes)
    # With a cache, a command has one more placeholder.
    more = ("result_file",) if cache_spec.is_wanted(raw) else ()
    # The key of a table is what identifies a case, also where no command uses it.
    key = None if spec.source is None else spec.source.key
    usable = target_spec.Usable(spec.parameters, more, key or ())
    target = target_spec.read(raw, root, usable, mistakes, generated)
    if fields is not None:
        spec = fixed_keys.add(fields.fixed, spec, target, root, mistakes, generated=generated)
    cache, policies, needs, options = None, Policies(), CaseNeeds(), dict[str, str]()
    mode = mode_keys.Mode()
    if fields is not None:
        mode = mode_keys.read(fields.mode, _needs(fields), options_text(fields.slurm), mistakes)
        needs, options = case_needs.read(mode.needs, mode.options, mistakes)
        options |= mode.own
        cache = cache_spec.read(fields, root, spec, target, mistakes)
        policies = replace(
            _policies(fields, root, target, options, mistakes),
            search=search_keys.read(fields.search, spec.source, root, mistakes),
        )
        environment = environment_keys.read(fields, root, target, layers.where, mistakes)
    if mistakes or fields is None or spec.source is None or target is None:
        raise mistakes.error(path)

    try:
        manifest = replace(
            _freeze(fields, path, target, spec.source, mistakes),
            setup=environment.setup,
            interpreter=environment.interpreter,
            resources=Resources(options=options),
            needs=needs,
            mode=mode.name,
            nodes=mode.nodes,
            cache=cache,
            policies=policies.to_json(),
        )
        manifest = sealed(manifest)
    except UnicodeEncodeError as error:  # from the command line, or in the name of a directory
        text = ascii(error.object[error.start : error.end])
        raise ManifestError(
            f"{text} in it, or in its path, is not UTF-8",
            where=str(path),
            next_step="Rename or rewrite it, or use a UTF-8 locale: LC_ALL=C.UTF-8.",
        ) from error
    return manifest, spec.source.repeat(manifest.replicates)


def _source(
    raw: dict[str, Any], root: Path, expand: Expand | None, mistakes: Mistakes
) -> source_spec.Spec:
    """The source of a manifest's keys."""
    if "source" not in raw:
        return source_spec.Spec()
    source = search_keys.stand_in(raw, mistakes)
    if expand is not None and source is not None:
        source = expand(source, mistakes)
    if source is None and raw["source"] is not None:
        return source_spec.Spec()
    return source_spec.build(source, mistakes, root, target_spec.used_names(raw))


def _check_source(
    fields: model.UserManifest, source: ParameterSource | None, mistakes: Mistakes
) -> None:
    """Check the keys that are about the cases of a source."""
    if source is None:
        return
    input_keys.check(fields.inputs, source, mistakes)
    canary_keys.check(fields.canary, source.n_cases * fields.replicates, mistakes)
    if source.replicates > 1 and fields.replicates > 1:
        mistakes.add(
            ("replicates",),
            "the source has replicates already",
            "Write one of them, with the product of both.",
        )


def _policies(
    fields: model.UserManifest,
    root: Path,
    target: Target | None,
    options: dict[str, str],
    mistakes: Mistakes,
) -> Policies:
    """What the sweep does by itself; `options` are sbatch's own of its array tasks."""
    requeue_keys.check(fields.requeue, fields.checkpoint_signal, target, options, mistakes)
    stop = stop_keys.read(fields.stop_after)
    return replace(
        policy_keys.read(fields.retry, fields.closing, stop, options, mistakes),
        case_seconds=fields.case_seconds,
        canary=fields.canary,
        requeue=fields.requeue,
        checkpoint_signal=fields.checkpoint_signal,
        limits=limit_keys.read(fields.limits),
        notify=fields.notify,
        reduce=reduce_spec.read(fields, root, mistakes),
    )


def _freeze(
    fields: model.UserManifest,
    path: Path,
    target: Target,
    source: ParameterSource,
    mistakes: Mistakes,
) -> FrozenManifest:
    """The manifest in `path`. *Raises* ManifestError for cases that a command cannot get."""
    lines = CaseLines()
    described = source.freeze(lines)
    problem = target_spec.null_problem(lines.nulls, target.argv)
    if problem is not None:
        mistakes.add(("source",), *problem)
        raise mistakes.error(path)
    return FrozenManifest(
        name=fields.name,
        root=str(path.parent.resolve()),
        target=target,
        source=described,
        replicates=fields.replicates,
        seed=fields.seed,
        chunk=fields.chunk,
        store=fields.store,
        runs=fields.runs,
        case_timeout_s=fields.case_timeout,
        share=fields.share,
        snapshot=fields.snapshot,
        isolation=fields.isolation,
        inputs=fields.inputs,
        fixed=fields.fixed,
        ok_if=fields.ok_if or "",
        cases_sha256=lines.sha256,
    )


def _needs(fields: model.UserManifest) -> CaseNeeds:
    return CaseNeeds(
        cpus=fields.cpus_per_case,
        mem_bytes=fields.mem_per_case,
        gpus=fields.gpus_per_case,
        slots=fields.slots,
    )
