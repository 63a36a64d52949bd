"""The command line of ``oob check``."""

from __future__ import annotations

pytest_plugins = ["tests.support.commands"]


def test_it_takes_no_arguments(typed):
    shown = typed("check", "bob@example.org")
    assert shown.status == 2
    assert shown.errors.startswith("oob check: Got unexpected extra argument")


def test_nobody_to_connect_to_is_status_3(typed):
    shown = typed("check")
    assert (shown.status, shown.output) == (3, "")
    assert shown.errors.startswith("oob check: there is no ")
