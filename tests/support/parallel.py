"""The whole suite runs in two processes, where pytest-xdist is there; a part of it runs in one.

Much of the time goes by while a server starts or a process ends. Each file of tests stays in one
process, so that what its tests share is made once. ``pytest -n 0`` runs all in one process.
"""

from __future__ import annotations

import pytest

PROCESSES = 2


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Ask pytest-xdist for two processes, unless the command line says how many, or what to run."""
    if (
        # A worker gets the same command line, and must not start workers of its own.
        not hasattr(config, "workerinput")
        and config.pluginmanager.hasplugin("xdist")
        and config.option.numprocesses is None
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.option.collectonly
        and not config.option.usepdb
    ):
        config.option.numprocesses = PROCESSES
        config.option.dist = "loadfile"
