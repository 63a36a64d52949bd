"""Network namespaces: machines with addresses and resolvers of their own, for one test (Linux).

A scenario is a module that runs in such a namespace, in a process of its own, and prints what
happened as JSON. Nothing of it leaves the namespace, and nothing is left when its process ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, missing

_PATIENCE = 100  # seconds for a scenario
# A user namespace, so that nobody needs to be root; of mounts, for files below /etc; of processes,
# which all end with the first one.
_UNSHARE = ("unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")


def run_in_namespace(module, folder, *, setup=()):
    """Run a scenario in a new namespace; gives what it printed.

    Skips the test where namespaces can't be made; fails it if OOB_REQUIRE_SERVERS is 1.

    ``folder``: what it works in, its only argument. ``setup``: lines of shell that come before,
    after loopback is up.
    """
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            missing(program, f"the Debian package {package}")
    lines = ["set -e", "ip link set lo up", *setup]
    prepared = _run(["sh", "-c", "\n".join(lines)], folder)
    if prepared.returncode != 0:
        _not_possible(f"network namespaces can't be made here: {prepared.stderr.strip()}")
    lines.append('exec "$@"')
    command = ["sh", "-c", "\n".join(lines), "sh", sys.executable, "-m", module, str(folder)]
    done = _run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _run(command, folder):
    return subprocess.run(
        [*_UNSHARE, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


def _not_possible(text):
    if os.environ.get("OOB_REQUIRE_SERVERS") == "1":
        pytest.fail(text)
    pytest.skip(text)
