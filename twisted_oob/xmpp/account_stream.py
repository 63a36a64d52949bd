"""AccountStream: an account on a server, as a stream that stays up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.words.protocols.jabber.jid import JID

from twisted_oob._checks import check_flag, check_not_empty, check_port, checked_reactor, wrong_type
from twisted_oob.xmpp.account import client_endpoint, client_factory
from twisted_oob.xmpp.jid import parse_jid
from twisted_oob.xmpp.stream_service import StreamService


class AccountStream(StreamService):
    """Logs in to an account, and again whenever the stream is lost, until it is stopped.

    It is a Twisted service and a Wokkel stream manager: add handlers with ``setHandlerParent``,
    then call ``startService``, or ``setServiceParent`` in a ``.tac`` file. Compared with Wokkel's
    ``XMPPClient``, nothing secret is sent before the certificate is verified to be for the JID's
    domain (RFC 6120 section 13.7.2), SCRAM is preferred, a dead connection is found within two
    minutes, and what fails says why in one line.

    If another connection binds the same full JID, the server mostly ends this stream with
    ``conflict``. It then stays down, as the two would throw each other out for ever.

    Args:
        jid: The account, as a JID or a str. Without a resource, the server chooses one.
        password: The account's password.
        host: The host to connect to, whatever DNS says.
        port: The port to connect to, whatever DNS says. Its default is 5222, or 5223 with
            ``direct_tls``.
        ca_file: A file of certificates in PEM format to verify the server's with, in place of the
            authorities that the platform trusts.
        direct_tls: Whether TLS begins with the first byte (XEP-0368).
        reactor: The reactor; by default the one that is installed.

    Raises:
        TypeError: An argument is of the wrong type; the text names it.
        ValueError: An argument is not good; the text names it. The JID is not an account, or no
            certificate can name its domain; or the file contains no certificate.
        OSError: The file can't be read.

    Attributes:
        ready: A Deferred of the reader's own, which fires with the full JID that was bound once the
            stream is up, and fails with StreamRefused if the stream can't be had.
        refused: The StreamRefused, if the stream can't be had; else None.
        on_refused: None, or what is called with the StreamRefused, when the stream can't be had.
    """

    def __init__(
        self,
        jid: JID | str,
        password: str,
        *,
        host: str | None = None,
        port: int | None = None,
        ca_file: str | Path | None = None,
        direct_tls: bool = False,
        reactor: Any = None,
    ) -> None:
        reactor = checked_reactor(reactor)
        account = _account(jid)
        check_not_empty("password", password)
        if host is not None:
            check_not_empty("host", host)
        if port is not None:
            check_port("port", port)
        if not isinstance(ca_file, str | Path | None):
            raise wrong_type("ca_file", "a path", ca_file)
        check_flag("direct_tls", direct_tls)
        trusted = None if ca_file is None else Path(ca_file)
        StreamService.__init__(
            self,
            client_factory(account, password, ca_file=trusted),
            client_endpoint(
                reactor, account.host, host=host, port=port, direct_tls=direct_tls, ca_file=trusted
            ),
            name=account.full(),
            reactor=reactor,
            yields=True,
        )

    def change_secret(self, password: str) -> None:
        """Log in with another password from the next stream on; one that is up stays.

        Raises:
            TypeError: It is not a str.
            ValueError: It is empty.
        """
        self.factory.authenticator.password = check_not_empty("password", password)


def _account(jid: JID | str) -> JID:
    if not isinstance(jid, JID):
        check_not_empty("jid", jid)
        try:
            jid = parse_jid(jid)
        except ValueError as error:
            raise ValueError(f"jid is not an XMPP address: {error}") from None
    if not jid.user:
        raise ValueError(f"jid {jid.full()!r} is not an account, such as me@example.org")
    return jid
