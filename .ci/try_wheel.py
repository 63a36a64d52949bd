"""Install the one wheel of a folder away from the tree, and run README.rst's demo with it.

    python .ci/try_wheel.py FOLDER

The demo runs in an empty folder, and must leave it empty.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.rst"
LAST_LINE = "demo: 5 of 5 as expected"


def demo_command() -> list[str]:
    """Give the words that follow ``.venv/bin/`` at the end of README.rst's command."""
    text = README.read_text(encoding="utf-8")
    [command] = re.findall(r"^    .* && \.venv/bin/(.* --demo)$", text, re.MULTILINE)
    return shlex.split(command)


def try_wheel(wheel: Path, folder: Path) -> str | None:
    """Install a wheel and run the demo, below a folder; give what is wrong, if anything."""
    venv.create(folder / "venv", with_pip=True)
    bin_, empty = folder / "venv" / "bin", folder / "empty"
    empty.mkdir()
    subprocess.run([bin_ / "pip", "install", "-q", wheel], cwd=empty, check=True)
    program, *words = demo_command()
    demo = subprocess.run(
        [bin_ / program, *words],
        cwd=empty,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    sys.stdout.write(demo.stdout)
    left = [path.name for path in empty.iterdir()]
    if left:
        return f"the demo left behind: {', '.join(left)}"
    if demo.stdout.splitlines()[-1:] != [LAST_LINE]:
        return f"the demo's last line should be: {LAST_LINE}"
    return None


if __name__ == "__main__":
    [built] = Path(sys.argv[1]).resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as outside:
        sys.exit(try_wheel(built, Path(outside)))
