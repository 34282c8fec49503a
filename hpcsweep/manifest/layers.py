"""Merge manifest, profile and command line into one mapping, with the origin of each value.

The profile, which is for a cluster, overrides the manifest, and `--set` overrides both.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hpcsweep.manifest import exclusive
from hpcsweep.manifest.mistakes import Mistakes, Where
from hpcsweep.settings import OPTION_KEYS, Profile
from hpcsweep.yamltext import Document

# Keys of a profile that replace those of the manifest.
_REPLACED = ("conda", "python", "container", "container_args", "store", "notify", "closing")


class Layers:
    """The merged keys of a manifest. `where` is `file:line`, or `--set key`."""

    def __init__(self, document: Document, profile: Mapping[str, Any]) -> None:
        self._document = document
        self.value: dict[str, Any] = dict(document.value)
        for key in OPTION_KEYS:
            if key in self.value:
                self.value[key] = document.options((key,), self.value[key])
        # Origin of the values that are not, or not at this path, in the document.
        self._origins: dict[Where, str] = {}
        self._add_profile(profile)

    def where(self, path: Where) -> str:
        """The origin of the value at `path`, or of its nearest parent."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
        return self._document.where(path)

    def position(self, path: Where) -> tuple[int, ...]:
        """The position of a path on each level; paths sort by it in the order of the file.

        Line numbers do not suffice: a manifest in JSON may be one line.
        """
        steps: list[int] = []
        value: Any = self.value
        for step in path:
            if isinstance(value, dict) and step in value:
                steps.append(list(value).index(step))
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                steps.append(step)
            else:
                break
            value = value[step]
        # A missing key sorts after the mistakes inside of its mapping.
        return (*steps, sys.maxsize)

    def _add_profile(self, profile: Mapping[str, Any]) -> None:
        def where(path: Where) -> str:
            return profile.where(path) if isinstance(profile, Profile) else "profile"

        options = self.value.get("slurm", {})
        if profile.get("slurm") and isinstance(options, dict):
            self.value["slurm"] = exclusive.put_over(options, profile["slurm"])
            self._origins |= {("slurm", key): where(("slurm", key)) for key in profile["slurm"]}
        for key in ("modules", "setup"):  # of the profile first, then those of the manifest
            lines = self.value.get(key, [])
            if profile.get(key) and isinstance(lines, list):
                first = list(profile[key])
                origins = [where((key, i)) for i in range(len(first))]
                origins += [self._document.where((key, i)) for i in range(len(lines))]
                self.value[key] = first + lines
                self._origins |= {(key, i): origin for i, origin in enumerate(origins)}
        for key in _REPLACED:
            if key in profile:
                self.value[key] = profile[key]
                self._origins[key,] = where((key,))
        limits = self.value.get("limits") or {}
        if profile.get("limits") and isinstance(limits, dict):
            self.value["limits"] = {**limits, **profile["limits"]}
            self._origins |= {("limits", key): where(("limits", key)) for key in profile["limits"]}

    def override(self, overrides: Mapping[str, Any], mistakes: Mistakes) -> None:
        """Set the values of `--set`, except those of the settings."""
        options = self.value.get("slurm")
        if isinstance(options, dict):
            given = {key.removeprefix("slurm."): value for key, value in overrides.items()}
            self.value["slurm"] = exclusive.put_over(
                options, {key: given[key] for key in given if f"slurm.{key}" in overrides}
            )
        for key, value in overrides.items():
            path = tuple(key.split("."))
            if path[0] == "settings":
                continue
            inner = self.value
            for depth, step in enumerate(path[:-1], start=1):
                below = inner.get(step, {})
                if step not in inner:
                    self._origins[path[:depth]] = f"--set {key}"
                if not isinstance(below, dict):
                    self._origins[path] = f"--set {key}"
                    mistakes.add(path, f"{step!r} is not a mapping", "Set it as a whole.")
                    break
                # A copy: the document stays unchanged.
                inner[step] = inner = dict(below)
            else:
                inner[path[-1]] = value
                for place in [p for p in self._origins if p[: len(path)] == path]:
                    del self._origins[place]
                self._origins[path] = f"--set {key}"
