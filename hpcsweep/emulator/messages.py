"""Error messages of Slurm 22.05.8 that several modules use."""

from __future__ import annotations

INVALID_JOB = "Invalid job id specified"
ALREADY_OVER = "Job/step already completing or completed"
INVALID_GRES = "Invalid generic resource (gres) specification"
INVALID_TRES = "Invalid Trackable RESource (TRES) specification"
INVALID_PARTITION = "Invalid partition name specified"
UNREACHABLE = "Unable to contact slurm controller (connect failure)"
