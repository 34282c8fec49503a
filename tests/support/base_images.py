"""The images that docker/Dockerfile begins with, also where no registry answers.

`debian:SUITE` is then made by debootstrap from the mirror that apt uses here. What this machine
needs in order to reach its mirror and its package index (a proxy, a certificate) goes into that
image, so that the Dockerfiles need not know of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.docker_engine import NoEngine, docker

DEFAULT_MIRROR = "http://deb.debian.org/debian"
SCRIPTS = Path("/usr/share/debootstrap/scripts")
# The certificates in the image; an own path, because ca-certificates writes its bundle anew.
CERTIFICATES = Path("usr/local/share/ca-certificates/machine.crt")
# Not part of an image: what the engine mounts there, and what apt can fetch again.
LEFT_OUT = ("./proc/*", "./sys/*", "./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*")


def ensure_bases(suites: tuple[str, ...]) -> None:
    """Have `debian:SUITE` in the engine for each suite. *Raises* NoEngine. *Safe to repeat.*"""
    with ThreadPoolExecutor(len(suites)) as pool:
        list(pool.map(ensure_base, suites))


def ensure_base(suite: str) -> None:
    """Have one of them: from the engine, from a registry, or made here."""
    image = f"debian:{suite}"
    if docker("image", "inspect", image, check=False).returncode == 0:
        return
    pulled = docker("pull", "--quiet", image, check=False)
    if pulled.returncode == 0:
        return
    if shutil.which("debootstrap", path="/usr/sbin:/sbin") is None:
        raise NoEngine(
            f"needs the image {image}: no registry has it ({pulled.stderr.strip()}), and making "
            f"it takes apt-get install debootstrap"
        )
    with tempfile.TemporaryDirectory(prefix="hs-base-", dir="/var/tmp") as directory:
        root = Path(directory) / suite
        bootstrap(suite, root)
        fit_to_machine(root)
        import_image(root, image)


def bootstrap(suite: str, root: Path) -> None:
    """Unpack the smallest system of a suite into `root`."""
    # A debootstrap older than the suite has no script for it; sid's does for every newer one.
    script = [] if (SCRIPTS / suite).exists() else [str(SCRIPTS / "sid")]
    command = ["/usr/sbin/debootstrap", "--variant=minbase", suite, str(root), mirror(), *script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoEngine(f"debootstrap {suite} ended with {done.returncode}: {done.stdout[-1000:]}")


def mirror() -> str:
    """The Debian mirror that apt uses on this machine."""
    if shutil.which("apt-get") is None:
        return DEFAULT_MIRROR
    query = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    uris = [uri for label, uri in map(str.split, answer.splitlines()) if label == "Debian"]
    return uris[0].rstrip("/") if uris else DEFAULT_MIRROR


def fit_to_machine(root: Path) -> None:
    """Copy what this machine's apt and pip need to reach their servers into a system."""
    configuration = root / "etc/apt/apt.conf.d"
    # A mirror may lag behind, and a testing suite says for how long it is valid.
    (configuration / "mirror").write_text('Acquire::Check-Valid-Until "false";\n')
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    proxies = [line for line in dump.stdout.splitlines() if "::Proxy" in line]
    (configuration / "proxy").write_text("\n".join([*proxies, ""]))
    settings = pip_settings()
    if certificates := settings.pop("cert", ""):
        (root / CERTIFICATES).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates, root / CERTIFICATES)
        settings["cert"] = f"/{CERTIFICATES}"
    lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
    (root / "etc/pip.conf").write_text("\n".join([*lines, ""]))


def pip_settings() -> dict[str, str]:
    """The settings by which pip reaches its index, as far as a container can use them."""
    listing = [sys.executable, "-m", "pip", "config", "list"]
    answer = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    settings = {}
    # Later lines come from closer configuration: the environment is the last.
    for line in sorted(answer.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in ("cert", "index-url", "proxy", "trusted-host"):
            settings[name.rpartition(".")[2]] = value.strip("'\"")
    return settings


def import_image(root: Path, image: str) -> None:
    """Make an image of a system."""
    pack = ["tar", "-C", str(root), *(f"--exclude={path}" for path in LEFT_OUT), "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
        docker("import", "--change", 'CMD ["bash"]', "-", image, stdin=packing.stdout)
    if packing.returncode:
        raise NoEngine(f"tar of {root} ended with {packing.returncode}")
