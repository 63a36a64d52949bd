"""TLS handshakes in memory."""

from __future__ import annotations

from OpenSSL import SSL

from tests.support.certificates import server_options


def shake_hands(file, *, version=SSL.TLS1_3_VERSION, client=None, choose=None):
    """Let a client and a server with the certificate of a file agree; gives their Connections.

    ``version``: the newest of TLS that the server speaks. ``client``: a Connection that verifies
    the certificate, for one that takes any. ``choose``: the server's choice of a protocol (ALPN).
    """
    context = server_options(file).getContext()
    context.set_max_proto_version(version)
    if choose is not None:
        context.set_alpn_select_callback(choose)
    server = SSL.Connection(context, None)
    client = client or SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return client, server
