"""hydra-submitit-launcher: a multirun of three jobs, two tasks each."""

import os
import subprocess
import sys
from pathlib import Path

Path("conf").mkdir()
Path("conf/config.yaml").write_text(
    """
defaults:
  - override hydra/launcher: submitit_slurm
x: 0
hydra:
  sweep: {dir: sweep}
  launcher: {timeout_min: 5, tasks_per_node: 1, nodes: 1, partition: main}
"""
)
Path("app.py").write_text(
    """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def app(config):
    import os
    from pathlib import Path
    Path(f"{os.environ['START']}/done{config.x}").write_text(os.environ["SLURM_JOB_ID"])
app()
"""
)
environment = {**os.environ, "START": str(Path.cwd())}
subprocess.run([sys.executable, "app.py", "-m", "x=1,2,3"], check=True, env=environment)
assert len({path.read_text() for path in Path().glob("done*")}) == 3
