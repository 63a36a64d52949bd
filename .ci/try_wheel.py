"""Install the one wheel of a folder away from the tree, and run README.rst's commands with it.

    python .ci/try_wheel.py FOLDER

The demo runs in an empty folder, and must leave it empty. Then ``oob send`` hands a file to the
responder that ``twistd`` runs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import threading
import venv
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.rst"
LAST_LINE = "demo: 5 of 5 as expected"
PATIENCE = 120  # seconds for one command


def demo_command() -> list[str]:
    """Give the words that follow ``.venv/bin/`` at the end of README.rst's command."""
    text = README.read_text(encoding="utf-8")
    [command] = re.findall(r"^    .* && \.venv/bin/(.* --demo)$", text, re.MULTILINE)
    return shlex.split(command)


def run(*words: object, cwd: Path) -> str:
    """Run a command; give what it prints, which is printed, too."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    sys.stdout.write(done.stdout)
    return done.stdout


def try_demo(bin_: Path, empty: Path) -> str | None:
    """Run README.rst's demo; give what is wrong, if anything."""
    program, *words = demo_command()
    said = run(bin_ / program, *words, cwd=empty)
    left = [path.name for path in empty.iterdir()]
    if left:
        return f"the demo left behind: {', '.join(left)}"
    if said.splitlines()[-1:] != [LAST_LINE]:
        return f"the demo's last line should be: {LAST_LINE}"
    return None


def try_send(bin_: Path, folder: Path) -> str | None:
    """Hand a file to a responder; give what is wrong, if anything."""
    content = b"the whole file"
    (folder / "report.txt").write_bytes(content)
    responder = subprocess.Popen(
        [
            *(bin_ / "twistd", "-n", "oob-responder", "--listen", "tcp:0:interface=127.0.0.1"),
            *("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128"),
            *("--download-dir", "landed"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    impatient = threading.Timer(PATIENCE, responder.kill)
    impatient.start()
    try:
        ports = (re.search(r"connect to \S+:(\d+)", line) for line in responder.stdout)
        port = next((match[1] for match in ports if match), None)
        if port is None:
            return "the responder ended"
        run(bin_ / "oob", "send", "--port", port, "report.txt", "oob.localhost", cwd=folder)
    finally:
        impatient.cancel()
        responder.terminate()
        responder.communicate()
    if (folder / "landed" / "report.txt").read_bytes() != content:
        return "the file did not arrive as it was"
    return None


def try_wheel(wheel: Path, folder: Path) -> str | None:
    """Install a wheel below a folder and try it; give what is wrong, if anything."""
    venv.create(folder / "venv", with_pip=True)
    bin_, empty, used = folder / "venv" / "bin", folder / "empty", folder / "used"
    empty.mkdir()
    used.mkdir()
    run(bin_ / "pip", "install", "-q", wheel, cwd=empty)
    version = wheel.name.split("-")[1]
    if run(bin_ / "oob", "--version", cwd=empty) != f"oob {version}\n":
        return f"oob --version should be {version}"
    return try_demo(bin_, empty) or try_send(bin_, used)


if __name__ == "__main__":
    [built] = Path(sys.argv[1]).resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as outside:
        sys.exit(try_wheel(built, Path(outside)))
