"""What network errors mean to a peer, and what our own log is told of them."""

from __future__ import annotations

import errno

import pytest
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import error as net
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss

from twisted_oob.errors import FetchFailed, Forbidden, NoRoom, TooLarge
from twisted_oob.files.failures import causes, explained

NO_TLS = "no secure connection to the server"
UNREACHABLE = "the server could not be reached"
NO_ANSWER = "no proper answer from the server"
WRAPPERS = [
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
]
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


def wrapped(kind, *errors):
    return kind([Failure(error) for error in errors])


@pytest.mark.parametrize(("error", "text"), NETWORK_ERRORS)
def test_each_kind_of_network_error(error, text):
    told = explained(error)
    assert type(told) is FetchFailed
    assert told.text == text
    assert told.detail == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize(("error", "text"), NETWORK_ERRORS)
def test_what_counts_is_what_is_wrapped(kind, error, text):
    for outer in (wrapped(kind, error), wrapped(kind, wrapped(ResponseFailed, error))):
        told = explained(outer)
        assert type(told) is FetchFailed
        assert told.text == text
        assert told.detail == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize("root", [ValueError("bad chunk"), PotentialDataLoss(), KeyError("x")])
def test_other_errors_that_the_client_wraps_are_no_answer(kind, root):
    told = explained(wrapped(kind, root))
    assert (type(told), told.text) == (FetchFailed, NO_ANSWER)


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapper_around_nothing(kind):
    assert explained(kind([])).text == NO_ANSWER


@pytest.mark.parametrize("position", [0, 1])
def test_one_of_several_causes_is_enough(position):
    errors = [ValueError("x")]
    errors.insert(position, SSL.Error([]))
    assert explained(wrapped(ResponseFailed, *errors)).text == NO_TLS


@pytest.mark.parametrize("kind", [None, *WRAPPERS])
@pytest.mark.parametrize("error", [CancelledError(), net.ConnectingCancelledError(None)])
def test_a_cancellation_stays_one(kind, error):
    assert type(explained(error if kind is None else wrapped(kind, error))) is CancelledError


def test_a_cancellation_counts_more_than_what_it_broke():
    error = wrapped(ResponseFailed, SSL.Error([]), net.ConnectionLost(), CancelledError())
    assert type(explained(error)) is CancelledError


@pytest.mark.parametrize("kind", [None, *WRAPPERS])
@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE"])
def test_no_descriptor_for_a_connection(kind, code):
    error = net.ConnectError(osError=getattr(errno, code), string="too many")
    told = explained(error if kind is None else wrapped(kind, error))
    assert type(told) is NoRoom
    assert told.text == "no room for the file now"
    assert "too many" in told.detail


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "of the disk"),
        OSError(errno.EROFS, "read-only"),
        MemoryError(),
        ZeroDivisionError(),
        FetchFailed("x"),
        Forbidden("x"),
        TooLarge("x"),
        NoRoom("x"),
        PotentialDataLoss(),
    ],
)
def test_other_errors_stay_what_they_are(error):
    assert explained(error) is error


def test_every_cause_is_told():
    error = wrapped(ResponseFailed, ValueError("one"), wrapped(ResponseFailed, KeyError("two")))
    assert causes(error) == "ValueError: one; KeyError: 'two'"


def test_what_says_nothing_is_left_out():
    lost = net.ConnectionLost()
    error = wrapped(ResponseFailed, lost, type("_DataLoss", (Exception,), {})())
    assert causes(error) == f"ConnectionLost: {lost}"


@pytest.mark.parametrize("error", [ValueError("x" * 10_000), net.ConnectError(string="y" * 10_000)])
def test_a_long_cause_is_told_in_part(error):
    told = causes(error)
    assert len(told) == 300
    assert told.startswith(type(error).__name__)
    assert len(explained(wrapped(ResponseFailed, error)).detail) == 300


def test_bytes_that_a_server_sent_are_not_told():
    error = wrapped(ResponseFailed, ValueError("no status line", b"GET /?sig=secret"))
    assert causes(error) == "ValueError: no status line"


def test_what_only_looks_wrapped_is_the_cause_itself():
    error = ValueError("mine")
    error.reasons = ["no failure", None]
    assert causes(error) == "ValueError: mine"
