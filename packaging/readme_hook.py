"""The README as the package index shows it: there its links need the address of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A link to a file of the repository.
LINK = re.compile(r"(?<=\]\()(?!https?://|#)(?=[^()\s]+\))")


class ReadmeWithLinks(MetadataHookInterface):
    """A hook of hatchling."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme."""
        address = f"{metadata['urls']['Homepage']}/blob/main/"
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": LINK.sub(address, text)}
