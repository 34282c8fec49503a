"""Settings: merged once at the start of a command, then passed on as an argument.

Later layers override earlier ones:

    the defaults below
    `settings:` of ~/.config/hpcsweep/config.yaml (XDG_CONFIG_HOME is honoured)
    `settings:` and `cluster:` of the chosen profile in that file
    the environment, HPCSWEEP_<KEY>
    the command line, --set settings.<key>=<value>

A profile also holds the parts of a manifest that depend on the cluster: `slurm`, `setup`,
`store`, `limits`, `notify`, `closing`; and `host` and `root`, for `hpcsweep --on PROFILE`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError

if TYPE_CHECKING:
    from hpcsweep.yamltext import Document

# The cluster selected by the programs on PATH.
AUTO = "auto"
ENVIRONMENT_PREFIX = "HPCSWEEP_"
_PROFILE_KEYS: dict[str, tuple[type, ...]] = {
    "cluster": (str,),
    "slurm": (dict,),
    "modules": (list,),
    "conda": (str,),
    "setup": (list,),
    "python": (str,),
    "container": (str,),
    "container_args": (list,),
    "store": (str,),
    "limits": (dict,),
    "notify": (str, list),
    "closing": (dict, bool),
    "settings": (dict,),
    "host": (str,),
    "root": (str,),
}
# Keys of manifests and profiles below which are options of sbatch.
OPTION_KEYS = ("slurm", "reduce_slurm", "closing")
# Those that are no part of a manifest.
_OF_THE_USER = ("settings", "host", "root")
_KIND_NAMES: dict[type, str] = {str: "a text", dict: "a mapping", list: "a list", bool: "false"}
_DOTTED = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings; names ending in `_s` are in seconds, fractions allowed."""

    # Minimum interval between two queries of a sweep to its cluster, over all processes; >= 0.
    query_interval_s: float = 60.0
    # Interval between the two directory scans (and the two squeue answers without the element)
    # that must agree before a case counts as lost; >= 0.
    grace_s: float = 60.0
    # Time since the intent before an unanswered part may be sent again; >= 0. The default exceeds
    # the 120 s for which a refused sbatch itself retries.
    unanswered_s: float = 150.0
    # Minimum interval between two ingests that a running task starts; >= 0.
    ingest_interval_s: float = 60.0
    # Time limit of a task's ingest; > 0. The next ingest reads the rest of the journal.
    ingest_deadline_s: float = 60.0
    # From TERM to KILL for the child of a task that must end; > 0. Must be shorter than the
    # cluster's KillWait (Slurm's default: 30 s), with time left to write the outcome.
    term_grace_s: float = 10.0
    # Time limit of a Slurm command, except sbatch; > 0.
    command_timeout_s: float = 60.0
    # Time limit of sbatch; > 0. It retries by itself for up to 120 s.
    sbatch_timeout_s: float = 180.0
    # Largest age of a cluster's limits in the user's cache; >= 0, and 0 reads them each time.
    limits_age_s: float = 600.0
    # The parent of the sweep directories, relative to the working directory; "" for `outputs`
    # beside each manifest.
    outputs: str = ""
    # "slurm", "pbs", "emulated", "submitit:EXECUTOR", or "auto": Slurm if sbatch is on PATH.
    cluster: str = "auto"
    # Additional long options of sbatch from the cluster's plugins; `slurm:` accepts them.
    plugin_options: tuple[str, ...] = ()


_POSITIVE = ("ingest_deadline_s", "term_grace_s", "command_timeout_s", "sbatch_timeout_s")
KEYS = tuple(field.name for field in fields(Settings))


class Profile(dict[str, Any]):
    """The keys of a profile; `where` returns the `file:line` of a key."""

    def __init__(
        self, values: Mapping[str, Any], where: Callable[[tuple[str | int, ...]], str]
    ) -> None:
        super().__init__(values)
        self.where = where


# Key, value and origin of a setting.
_Given = tuple[str, Any, str]


def load(
    profile: str | None,
    sets: Mapping[str, Any],
    environ: Mapping[str, str],
    check_cluster: Callable[[Any, str], None] = lambda _value, _where: None,
) -> tuple[Settings, Profile]:
    """The settings, and the profile's part of the manifest (empty without a profile).

    `sets` are the dotted keys of the command line; those other than `settings.…` belong to the
    manifest. `check_cluster` refuses unknown clusters; only higher layers know which exist.
    *Raises* InputError with the file and line, the variable or the `--set`.
    """
    document = _config(environ)
    chosen = _profile(document, profile, _config_path(environ))
    result = Settings()
    layers = (_in_config(document, profile), _in_environment(environ), _in_sets(sets))
    for key, value, where in chain(*layers):
        if key == "cluster":
            check_cluster(value, where)
        result = _with_value(result, key, value, where)
    return result, chosen


def profile_names(environ: Mapping[str, str]) -> list[str]:
    """The names of all profiles in the user's file. *Raises* InputError."""
    document = _config(environ)
    return [] if document is None else sorted(_mapping(document, ("profiles",)))


def profile_host(name: str) -> tuple[str, str] | None:
    """`host` and `root` of a profile; None if no profile of this name has a host.

    *Raises* InputError.
    """
    document = _config(os.environ)
    if document is None or name not in _mapping(document, ("profiles",)):
        return None
    _profile(document, name, _config_path(os.environ))
    values = _mapping(document, ("profiles", name))
    return (values["host"], values.get("root", "")) if "host" in values else None


def parse_set(text: str) -> tuple[str, Any]:
    """Parse `--set a.b=value`; the value is a YAML scalar, or a list in brackets.

    An option of sbatch is kept as text: also `00123`, `1.5` and `[rack1|rack2]`.
    *Raises* InputError.
    """
    from hpcsweep.yamltext import document, scalar  # noqa: PLC0415  # yaml; not for tasks

    key, equals, value = text.partition("=")
    where = f"--set {key}"
    if not equals or not _DOTTED.fullmatch(key):
        raise InputError(
            "is not KEY=VALUE",
            where=f"--set {text}" if not equals else where,
            next_step="Write, for example, --set slurm.time=01:00:00.",
        )
    is_option = key.startswith(tuple(f"{name}." for name in OPTION_KEYS))
    if value.startswith(('"', "'") if is_option else ("[", "{", '"', "'")):
        given = document(value, where)
        return key, given.options((), given.value) if key in OPTION_KEYS else given.value
    try:
        parsed = scalar(value)
    except ValueError as error:
        raise InputError(str(error), where=where) from error
    if is_option and (type(parsed) is float or str(parsed) != value):
        return key, parsed if isinstance(parsed, bool) else value
    return key, parsed


def cache_home() -> Path:
    """The directory for what hpcsweep can read again: `$XDG_CACHE_HOME/hpcsweep`."""
    return _home("XDG_CACHE_HOME", ".cache", os.environ)


def state_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory for hpcsweep's state of this user: `$XDG_STATE_HOME/hpcsweep`."""
    return _home("XDG_STATE_HOME", ".local/state", environ)


def _config_path(environ: Mapping[str, str]) -> Path:
    return _home("XDG_CONFIG_HOME", ".config", environ) / "config.yaml"


def _home(variable: str, usual: str, environ: Mapping[str, str]) -> Path:
    # The XDG specification says to ignore relative paths.
    home = environ.get(variable, "")
    base = Path(home) if home.startswith("/") else Path(environ.get("HOME", "/")) / usual
    return base / "hpcsweep"


def _config(environ: Mapping[str, str]) -> Document | None:
    path = _config_path(environ)
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    from hpcsweep.yamltext import load as load_file  # noqa: PLC0415  # yaml; not for tasks

    document = load_file(path)
    if document.value is None:
        return None
    _mapping(document, ())
    _check_keys(document, (), ("settings", "profiles"))
    return document


def _profile(document: Document | None, name: str | None, file: Path) -> Profile:
    profiles = _mapping(document, ("profiles",)) if document is not None else {}
    if name is None or document is None or name not in profiles:
        if name is None:
            return Profile({}, lambda _: "")
        listed = ", ".join(sorted(profiles)) or "none"
        raise InputError(
            f"there is no profile {name!r}",
            where=document.where(("profiles",)) if document is not None else str(file),
            next_step=f"Known profiles: {listed}. They are made in this file under `profiles:`.",
        )
    path = ("profiles", name)
    values = _mapping(document, path)
    _check_keys(document, path, _PROFILE_KEYS)
    for key, value in values.items():
        if not isinstance(value, _PROFILE_KEYS[key]):
            raise InputError(
                f"{key}: is not {' or '.join(_KIND_NAMES[kind] for kind in _PROFILE_KEYS[key])}",
                where=document.where((*path, key)),
            )
    kept = {key: value for key, value in values.items() if key not in _OF_THE_USER}
    for key in kept.keys() & OPTION_KEYS:
        kept[key] = document.options((*path, key), kept[key])
    return Profile(kept, lambda inner: document.where((*path, *inner)))


def _mapping(document: Document, path: tuple[str, ...]) -> dict[str, Any]:
    """The mapping at `path`; empty if there is none."""
    value = document.value
    for key in path:
        value = {} if value.get(key) is None else value[key]
    if not isinstance(value, dict):
        raise InputError(
            f"{path[-1] if path else 'the file'}: has no keys",
            where=document.where(path),
            next_step="Write `key: value` below it.",
        )
    return value


def _check_keys(document: Document, path: tuple[str, ...], keys: Iterable[str]) -> None:
    for key in _mapping(document, path):
        if key not in keys:
            raise _unknown(key, keys, document.where((*path, key)))


def _in_config(document: Document | None, profile: str | None) -> Iterator[_Given]:
    if document is None:
        return
    yield from _in_mapping(document, ("settings",))
    if profile is not None:
        path = ("profiles", profile)
        yield from _in_mapping(document, (*path, "settings"))
        cluster = _mapping(document, path).get("cluster")
        if cluster is not None:
            yield "cluster", cluster, document.where((*path, "cluster"))


def _in_mapping(document: Document, path: tuple[str, ...]) -> Iterator[_Given]:
    for key, value in _mapping(document, path).items():
        yield key, value, document.where((*path, key))


def _in_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    ours = sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX))
    if not ours:
        return
    from hpcsweep.yamltext import nearest, scalar  # noqa: PLC0415  # yaml; not for tasks

    for variable in ours:
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key in KEYS:
            text = environ[variable]
            try:
                value = scalar(text) if key.endswith("_s") else text
            except ValueError as error:
                raise InputError(str(error), where=variable) from error
            yield key, value, variable
        elif nearest(key, KEYS, cutoff=0.85):  # other variables may share our prefix
            raise _unknown(key, KEYS, variable)


def _in_sets(sets: Mapping[str, Any]) -> Iterator[_Given]:
    for key, value in sets.items():
        section, _, name = key.partition(".")
        if section == "settings":
            yield name, value, f"--set {key}"


def _with_value(settings: Settings, key: str, value: Any, where: str) -> Settings:
    if key not in KEYS:
        raise _unknown(key, KEYS, where)
    if key == "outputs" and not (isinstance(value, str) and value and "\0" not in value):
        raise InputError("outputs: is not the path of a directory", where=where)
    if key == "plugin_options":
        value = _options(value, where)
    if key.endswith("_s"):
        value = _seconds(key, value, where)
    return replace(settings, **{key: value})


def _options(value: Any, where: str) -> tuple[str, ...]:
    """Names of options, from a list or a comma-separated text. *Raises* InputError."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(
        isinstance(name, str) and re.fullmatch("[a-z][a-z0-9-]+", name) for name in names
    ):
        raise InputError(
            f"plugin_options: {value!r} is not a list of options",
            where=where,
            next_step="Write them without leading dashes: [container-image, x-tag].",
        )
    return tuple(names)


def _seconds(key: str, value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(
            f"{key}: {value!r} is not a number of seconds",
            where=where,
            next_step="Write, e.g., 60.",
        )
    if value < 0 or (value == 0 and key in _POSITIVE):
        least = "above 0" if key in _POSITIVE else "0 or more"
        raise InputError(
            f"{key}: {value} seconds are too few", where=where, next_step=f"It must be {least}."
        )
    return float(value)


def _unknown(key: str, keys: Iterable[str], where: str) -> InputError:
    from hpcsweep.yamltext import nearest  # noqa: PLC0415  # yaml; not for tasks

    guess = nearest(key, keys)
    return InputError(
        f"{key}: unknown key",
        where=where,
        next_step=f"Did you mean {guess!r}?" if guess else f"Known are {', '.join(keys)}.",
    )
