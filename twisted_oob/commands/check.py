"""``oob check``: connects, tells what is there, and disconnects."""

from __future__ import annotations

import click

from twisted_oob.commands.config import ConfiguredCommand
from twisted_oob.commands.connection import Connection
from twisted_oob.commands.output import Output
from twisted_oob.commands.shared_options import shared_options


@click.command(cls=ConfiguredCommand)
@shared_options
def check(*, connection: Connection, output: Output) -> None:
    """Log in, and tell what the server has.

    That is the address that we have there, the server's, its upload service with the largest file
    that it takes, and the time that a ping takes.

    The exit status is 0; 2 if the command line is wrong; 3 if there is no connection or no login.
    """
    # Not above: whoever asks for help should not wait for it.
    from twisted_oob.commands.server_check import check_server  # noqa: PLC0415
    from twisted_oob.commands.start import start  # noqa: PLC0415

    secret = connection.read_secret()
    start(lambda reactor: check_server(connection, secret, output, reactor), output)
