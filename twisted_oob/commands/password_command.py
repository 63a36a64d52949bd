"""Passwords from a program, such as a password manager."""

from __future__ import annotations

import shlex
import subprocess

from twisted_oob.commands.secret_file import secret_in


def run_password_command(command: str) -> str:
    """Read a password from the first line of what a program prints.

    Args:
        command: The program and its arguments, as a shell would split them. No shell runs it. Its
            standard input and standard error are ours, so that it can ask a person.

    Raises:
        OSError: It can't be run.
        ValueError: It fails or prints no password, or there is no program in the command.
    """
    words = shlex.split(command)
    if not words:
        raise ValueError("it names no program")
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode:
        raise ValueError(f"it ended with status {done.returncode}")
    try:
        return secret_in(done.stdout.split(b"\n", 1)[0])
    except ValueError as error:
        raise ValueError(f"of what it prints, {error}") from None
