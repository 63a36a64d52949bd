"""What network errors mean to a peer, and what our own log is told of them."""

from __future__ import annotations

import errno

import pytest
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import error as net
from twisted.internet.defer import CancelledError

from twisted_oob._tls import NoRoots
from twisted_oob.errors import (
    FetchFailed,
    Forbidden,
    NoRoom,
    ResourceConstraint,
    TooLarge,
    TryLater,
)
from twisted_oob.files.failures import causes, explained

NO_TLS = "no secure connection to the server"
UNREACHABLE = "the server could not be reached"
NO_ANSWER = "no proper answer from the server"
NETWORK_ERRORS = [
    (SSL.Error([("a", "b", "c")]), NO_TLS),
    (SSL.SysCallError(-1, "Unexpected EOF"), NO_TLS),
    (VerificationError(errors=["no name"]), NO_TLS),
    (CertificateError("no names at all"), NO_TLS),
    (net.ConnectError(string="x"), UNREACHABLE),
    (net.ConnectError(osError=errno.ENETUNREACH), UNREACHABLE),
    (net.ConnectBindError(), UNREACHABLE),
    (net.ConnectionRefusedError(), UNREACHABLE),
    (net.NoRouteError(), UNREACHABLE),
    (net.TimeoutError(), UNREACHABLE),
    (net.TCPTimedOutError(), UNREACHABLE),
    (net.ConnectionDone(), NO_ANSWER),
    (net.ConnectionLost(), NO_ANSWER),
    (net.ConnectionAborted(), NO_ANSWER),
]


@pytest.mark.parametrize(("error", "text"), NETWORK_ERRORS)
def test_each_kind_of_network_error(error, text):
    told = explained(error)
    assert type(told) is FetchFailed
    assert told.text == text
    assert told.detail == f"{type(error).__name__}: {error}"


def test_a_machine_without_roots_is_nothing_that_a_file_can_help():
    told = explained(NoRoots("install some"))
    assert type(told) is ResourceConstraint
    assert told.detail == "NoRoots: install some"


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE"])
def test_no_descriptor_for_a_connection(code):
    told = explained(net.ConnectError(osError=getattr(errno, code), string="too many"))
    assert type(told) is NoRoom
    assert told.text == "no room for the file now"
    assert "too many" in told.detail


@pytest.mark.parametrize(
    "error",
    [
        CancelledError(),
        OSError(errno.EMFILE, "of the disk"),
        OSError(errno.EROFS, "read-only"),
        MemoryError(),
        ZeroDivisionError(),
        FetchFailed("x"),
        Forbidden("x"),
        TooLarge("x"),
        NoRoom("x"),
        TryLater("x"),
    ],
)
def test_other_errors_stay_what_they_are(error):
    assert explained(error) is error


@pytest.mark.parametrize("error", [ValueError("x" * 10_000), net.ConnectError(string="y" * 10_000)])
def test_a_long_cause_is_told_in_part(error):
    told = causes(error)
    assert len(told) == 300
    assert told.startswith(type(error).__name__)


def test_bytes_that_a_server_sent_are_not_told():
    error = ValueError("no status line", b"GET /?sig=secret")
    assert causes(error) == "ValueError: no status line"
