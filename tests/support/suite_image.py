"""The image of a newer Debian suite in which hpcsweep's own tests run: its Slurm and its Python."""

from __future__ import annotations

from tests.support.container_cluster import DOCKERFILE, REPOSITORY, SUITES
from tests.support.docker_engine import Completed, docker

# The oldest suite is the one that `make test` runs on.
NEWER = tuple(SUITES)[1:]
# The tests write beside the source, so they run in a copy.
SCRIPT = """
mkdir /work
tar -C /source --exclude=./.venv --exclude=./outputs -c . | tar -C /work -x
cd /work
pip install --quiet --no-deps --no-build-isolation --editable .
exec python -m pytest -q -n 2 --dist loadgroup --timeout 1200 "$@"
"""


def build_test_image(version: str) -> None:
    """Build `hpcsweep-test:VERSION`; a layer that did not change comes from the cache."""
    common = ("build", "--quiet", "--network=host")
    system, tests = f"hpcsweep-system:{version}", f"hpcsweep-test:{version}"
    target = ("--target=system", f"--build-arg=SUITE={SUITES[version]}")
    docker(*common, *target, f"--tag={system}", f"--file={DOCKERFILE}", REPOSITORY)
    dockerfile, base = REPOSITORY / "tests/docker/Dockerfile", f"--build-arg=SYSTEM={system}"
    docker(*common, base, f"--tag={tests}", f"--file={dockerfile}", REPOSITORY)


def run_pytest(version: str, *arguments: str, options: tuple[str, ...] = ()) -> Completed:
    """Run tests of this source in the image, as root; `options`: more of `docker run`."""
    # Without an init that reaps their processes Slurm's jobs stay COMPLETING.
    options = ("--init", *options, f"--volume={REPOSITORY}:/source:ro", "--entrypoint=sh")
    image = f"hpcsweep-test:{version}"
    return docker("run", "--rm", *options, image, "-euc", SCRIPT, "sh", *arguments, check=False)
