"""reportseff: the efficiency of a job that is over."""

import subprocess
import sys
from pathlib import Path

argv = ["sbatch", "--parsable", "--wait", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 2"]
job = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
program = [
    str(Path(sys.executable).with_name("reportseff")),
    "--no-color",
    "--format=JobID,State,Elapsed,CPUEff",
    job,
]
text = subprocess.run(program, check=True, capture_output=True, text=True).stdout
assert job in text, text
assert "COMPLETED" in text, text
