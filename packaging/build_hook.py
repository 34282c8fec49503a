"""Put the manual pages into the wheel, in share/man, where `man` looks for them."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):
    """A hook of hatchling."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write a page for each command and name it as shared data of the wheel."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from hpcsweep.cli.manual import manual_pages  # noqa: PLC0415  # found now

        self._folder = TemporaryDirectory(prefix="hpcsweep-man-")
        for name, page in manual_pages().items():
            path = Path(self._folder.name, name)
            path.write_text(page, encoding="utf-8")
            build_data["shared_data"][str(path)] = f"share/man/man1/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # hatchling's
        """Remove what `initialize` wrote."""
        if version != "editable":
            self._folder.cleanup()
