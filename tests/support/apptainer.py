"""A stand-in for `apptainer exec`: it keeps its arguments, and hides what it is not told to bind.

An image is a text: the directories that it brings, one a line, behind a first line `image`. As root
the program sees them, the system's own, and the binds; nothing else of this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROGRAM = r"""#!/bin/bash
printf '%s\0' "$@" $'\n' >>@LOG@
shift
binds=() pwd=/
while [[ $1 == --* ]]; do
    case $1 in
        --bind) binds+=("$2"); shift 2 ;;
        --pwd) pwd=$2; shift 2 ;;
        --nv) shift ;;
        *) echo "Error for command \"exec\": unknown flag: $1" >&2; exit 1 ;;
    esac
done
image=$1; shift
{ read -r first; mapfile -t brought; } <"$image"
if [[ $first != image ]]; then
    echo "FATAL:   could not open image $image: image format not recognized" >&2
    exit 255
fi
if [[ $(id -u) != 0 ]]; then cd "$pwd" && exec "$@"; fi
root=$(mktemp -d @LOG@.XXXXXX)
export root pwd
places=(/usr /bin /sbin /lib /lib64 /etc /proc /dev /sys "${brought[@]}" "${binds[@]}")
exec unshare --mount bash -c '
    mount -t tmpfs none "$root" || exit 255
    while [[ $1 ]]; do
        if [[ -L $1 ]]; then cp -P "$1" "$root$1"
        elif [[ -d $1 ]]; then mkdir -p "$root$1" && mount --rbind "$1" "$root$1" || exit 255
        else echo "FATAL:   mount source $1 does not exist" >&2; exit 255
        fi
        shift
    done
    shift
    exec chroot "$root" /bin/bash -c "cd \"\$pwd\" && exec \"\$@\"" bash "$@"
' bash "${places[@]}" '' "$@"
"""


@dataclass(frozen=True)
class Apptainer:
    """The stand-in, in a directory for PATH."""

    directory: Path

    @classmethod
    def install(cls, directory: Path, name: str = "apptainer") -> Apptainer:
        """Write the program."""
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / name
        program.write_text(PROGRAM.replace("@LOG@", str(directory / "calls")))
        program.chmod(0o755)
        return cls(directory)

    @property
    def path(self) -> str:
        """PATH with the program first."""
        return f"{self.directory}:{os.environ['PATH']}"

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call so far."""
        text = (self.directory / "calls").read_text()
        return [call.split("\0") for call in text.split("\0\n\0") if call]


def make_image(path: Path, *brought: Path) -> Path:
    """An image with these directories."""
    path.write_text("\n".join(["image", *map(str, brought), ""]))
    return path
