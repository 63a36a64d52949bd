"""The options in docs/oob.rst, by their help. ``python -m tests.support.oob_page`` writes it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import click

from twisted_oob.commands.oob import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "oob.rst"

_BLOCK = re.compile(r"(?<=\.\. options of )(\w+)\n.*?(?=\.\. end of options\n)", re.DOTALL)

_WRAPPER = textwrap.TextWrapper(
    100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
)


def page(text):
    """Give the page with the options as they are now."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n\n{_options(block[1])}\n", text)


def _options(which):
    """Describe the options of a command; ``shared`` for those that all have."""
    commands = {name: _described(name) for name in main.list_commands(None)}
    shared = set.intersection(*map(set, commands.values()))
    if which == "shared":
        return "".join(line for line in commands["check"] if line in shared)
    return "".join(line for line in commands[which] if line not in shared)


def _described(name):
    command = main.get_command(None, name)
    context = click.Context(command, show_default=True)
    return [
        f"``{names}``\n{_WRAPPER.fill(text)}\n"
        for param in command.params
        if isinstance(param, click.Option)
        for names, text in [param.get_help_record(context)]
    ]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
