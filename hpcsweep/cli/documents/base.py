"""What documents are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class JsonObject(BaseModel):
    """An object in a document. The texts below its keys are their descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class MemoryExcessPart(JsonObject):
    """A complete case that used more memory than it asked for."""

    used_bytes: int
    requested_bytes: int
