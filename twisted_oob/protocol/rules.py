"""What comes in and what goes out, as a table: XEP-0066 on the wire.

Nothing here runs. The tests play each rule on every kind of stream, and ``docs/wire.rst`` is made
of them, so that the code, the tests and the documentation can't say different things.

In the XML, ``{peer}`` is who sends, ``{me}`` is one of our addresses, ``{stranger}`` is somebody
else, and ``{id}`` is the id of a request of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twisted_oob.protocol.examples import (
    ATTACHED,
    ENCRYPTED,
    FALLBACK,
    JINGLE,
    NO_URL,
    QUERY,
    QUERY_WITH_FILE,
    RELATIVE,
    RELATIVE_X,
    SFS,
    SIMS,
    X,
)


def _offer(payload: str = QUERY, kind: str = "set", peer: str = "{peer}") -> str:
    return f"<iq type='{kind}' id='o1' from='{peer}' to='{{me}}'>{payload}</iq>"


def _error(
    condition: str,
    kind: str,
    code: int,
    *,
    payload: str = QUERY,
    text: str = "",
    peer: str = "{peer}",
) -> str:
    """Write our answer, as Twisted does: with the code that errors had before XMPP (XEP-0086)."""
    xmlns = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    said = f"<text {xmlns}>{text}</text>" if text else ""
    error = f"<error type='{kind}' code='{code}'><{condition} {xmlns}/>{said}</error>"
    return f"<iq type='error' id='o1' from='{{me}}' to='{peer}'>{payload}{error}</iq>"


def _message(payload: str, body: str = "see", peer: str = "{peer}") -> str:
    return f"<message from='{peer}' to='{{me}}'><body>{body}</body>{payload}</message>"


def _short(condition: str, kind: str) -> str:
    error = f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    held = f"<error type='{kind}'>{error}</error>"
    return f"<iq type='error' id='o1' from='{{me}}' to='{{peer}}'>{held}</iq>"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestRule:
    """A stanza that somebody sends us, what the application does with it, and our answer.

    Attributes:
        comes_in: What it is, in words.
        stanza: An example of it, as XML.
        application: What the application does, in words: one of the constants of this module.
        goes_out: What we answer, in words.
        answer: The whole answer to the example, as XML; empty if there is no answer.
    """

    comes_in: str
    stanza: str
    application: str
    goes_out: str
    answer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRule:
    """A stanza that comes while an answer, or the bounce of a message, is waited for.

    Attributes:
        comes_in: What it is, in words.
        stanza: An example of it, as XML.
        outcome: What its Deferred fires with: ``None``, an ErrorCondition, or WAITS if it does not.
    """

    comes_in: str
    stanza: str
    outcome: str | None


SUCCEEDS: Final = "what on_offer returned succeeds, or reply_success()"
NOT_FOUND: Final = "NotFound is raised, or reply_failure('not-found')"
REJECTED: Final = "Rejected is raised, or reply_failure('reject')"
WAIT: Final = "another StanzaError is raised, such as ResourceConstraint"
FAILS: Final = "any other exception is raised; it is logged"
SILENT: Final = "nobody answers within answer_timeout"
ABSENT: Final = "there is no on_offer, and no other handler takes it"
TOO_MANY: Final = "has max_open_offers without an answer"
DENIES: Final = "its gate denies the sender"
DROPS: Final = "its gate drops what the sender asks too often"
NEVER_SEES_IT: Final = "never sees it"
SEES_IT: Final = "on_message is called, once"

_TWO: Final = f"{QUERY}<other xmlns='urn:x'/>"
_ONE_CHILD: Final = "an IQ request has one child"
_ONLY_SETS: Final = "Out of Band Data is offered by a set"
_NOT_ABSOLUTE: Final = (
    "url is not an absolute URI (RFC 3986): it must begin with a scheme such as 'https:'"
)

REQUESTS: Final = (
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=SUCCEEDS,
        goes_out="an empty result",
        answer="<iq type='result' id='o1' from='{me}' to='{peer}'/>",
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=NOT_FOUND,
        goes_out="error cancel, item-not-found (404), with the query",
        answer=_error("item-not-found", "cancel", 404),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=REJECTED,
        goes_out="error modify, not-acceptable (406), with the query",
        answer=_error("not-acceptable", "modify", 406),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=WAIT,
        goes_out="that error, with the query",
        answer=_error("resource-constraint", "wait", 500),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=FAILS,
        goes_out="error wait, internal-server-error (500), with the query",
        answer=_error("internal-server-error", "wait", 500),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=SILENT,
        goes_out="error wait, internal-server-error (500), with the query",
        answer=_error("internal-server-error", "wait", 500),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=ABSENT,
        goes_out="error modify, not-acceptable (406), with the query",
        answer=_error("not-acceptable", "modify", 406),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=TOO_MANY,
        goes_out="error wait, resource-constraint, and nothing else",
        answer=_short("resource-constraint", "wait"),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=DENIES,
        goes_out="error modify, not-acceptable, and nothing else",
        answer=_short("not-acceptable", "modify"),
    ),
    RequestRule(
        comes_in="a set with a usable URL",
        stanza=_offer(),
        application=DROPS,
        goes_out="nothing (RFC 6120 section 13.12)",
    ),
    RequestRule(
        comes_in="a set that says what is known of the file (XEP-0446)",
        stanza=_offer(QUERY_WITH_FILE),
        application=SUCCEEDS,
        goes_out="an empty result",
        answer="<iq type='result' id='o1' from='{me}' to='{peer}'/>",
    ),
    RequestRule(
        comes_in="a set that says what is known of the file (XEP-0446)",
        stanza=_offer(QUERY_WITH_FILE),
        application=NOT_FOUND,
        goes_out="error cancel, item-not-found (404), with the query and all that it holds",
        answer=_error("item-not-found", "cancel", 404, payload=QUERY_WITH_FILE),
    ),
    RequestRule(
        comes_in="a set without a URL",
        stanza=_offer(NO_URL),
        application=NEVER_SEES_IT,
        goes_out="error modify, bad-request (400), with the query and the reason",
        answer=_error(
            "bad-request", "modify", 400, payload=NO_URL, text="the &lt;url/&gt; is missing"
        ),
    ),
    RequestRule(
        comes_in="a set with a URL that is not usable",
        stanza=_offer(RELATIVE),
        application=NEVER_SEES_IT,
        goes_out="error modify, bad-request (400), with the query and the reason",
        answer=_error("bad-request", "modify", 400, payload=RELATIVE, text=_NOT_ABSOLUTE),
    ),
    RequestRule(
        comes_in="a get",
        stanza=_offer(kind="get"),
        application=NEVER_SEES_IT,
        goes_out="error modify, bad-request (400), with the query and the reason",
        answer=_error("bad-request", "modify", 400, text=_ONLY_SETS),
    ),
    RequestRule(
        comes_in="an IQ of a type that there is not",
        stanza=_offer(kind="offer"),
        application=NEVER_SEES_IT,
        goes_out="error modify, bad-request (400), with the query and the reason",
        answer=_error("bad-request", "modify", 400, text=_ONLY_SETS),
    ),
    RequestRule(
        comes_in="an IQ with the query and another child",
        stanza=_offer(_TWO),
        application=NEVER_SEES_IT,
        goes_out="error modify, bad-request (400), with both and the reason",
        answer=_error("bad-request", "modify", 400, payload=_TWO, text=_ONE_CHILD),
    ),
    RequestRule(
        comes_in="a set from an address that is not a JID",
        stanza=_offer(peer="a..b"),
        application=NEVER_SEES_IT,
        goes_out="error modify, jid-malformed (400), with the query",
        answer=_error(
            "jid-malformed", "modify", 400, text="'from' or 'to' is not a valid JID", peer="a..b"
        ),
    ),
    RequestRule(
        comes_in="a message with a usable URL",
        stanza=_message(X),
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="presence with a usable URL",
        stanza=f"<presence from='{{peer}}' to='{{me}}'>{X}</presence>",
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message that shares a file by SFS (XEP-0447)",
        stanza=_message(SFS),
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message that attaches a source to a file that was shared before (XEP-0447)",
        stanza=_message(ATTACHED),
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message that shares a file by SIMS (XEP-0385)",
        stanza=_message(SIMS),
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message that names one file in several ways",
        stanza=_message(f"{X}{SFS}{FALLBACK}{SIMS}", body="https://files.example/a.pdf"),
        application=SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message with a file that only Jingle gets (XEP-0358)",
        stanza=_message(JINGLE),
        application=NEVER_SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message with an encrypted file (XEP-0448)",
        stanza=_message(ENCRYPTED),
        application=NEVER_SEES_IT,
        goes_out="nothing",
    ),
    RequestRule(
        comes_in="a message with a URL that is not usable",
        stanza=_message(RELATIVE_X),
        application=NEVER_SEES_IT,
        goes_out="nothing; it is logged at debug",
    ),
    RequestRule(
        comes_in="a message from an address that is not a JID",
        stanza=_message(X, peer="a..b"),
        application=NEVER_SEES_IT,
        goes_out="nothing; it is logged at debug",
    ),
    RequestRule(
        comes_in="a message of type error, which brings back what we sent",
        stanza=f"<message type='error' from='{{peer}}' to='{{me}}'>{X}</message>",
        application=NEVER_SEES_IT,
        goes_out="nothing",
    ),
)
"""What others send us (XEP-0066 sections 2 and 3; RFC 6120 section 8.3 for the errors)."""

WAITS: Final = "waits on"


def _answer(kind: str, peer: str = "{peer}", error: str = "", type_: str = "cancel") -> str:
    xmlns = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    held = f"<error type='{type_}'><{error} {xmlns}/></error>" if error else ""
    return f"<iq type='{kind}' id='{{id}}' from='{peer}' to='{{me}}'>{held}</iq>"


ANSWERS: Final = (
    AnswerRule(
        comes_in="a result from the peer that was asked",
        stanza=_answer("result"),
        outcome=None,
    ),
    AnswerRule(
        comes_in="an error item-not-found from the peer that was asked",
        stanza=_answer("error", error="item-not-found"),
        outcome="not-found",
    ),
    AnswerRule(
        comes_in=(
            "an error that says that nobody is there who takes it: service-unavailable, "
            "feature-not-implemented, recipient-unavailable, gone, redirect, "
            "remote-server-not-found, remote-server-timeout or subscription-required"
        ),
        stanza=_answer("error", error="service-unavailable"),
        outcome="unavailable",
    ),
    AnswerRule(
        comes_in="an error resource-constraint, or any other of type wait",
        stanza=_answer("error", error="resource-constraint", type_="wait"),
        outcome="wait",
    ),
    AnswerRule(
        comes_in="any other error from the peer that was asked",
        stanza=_answer("error", error="not-acceptable", type_="modify"),
        outcome="reject",
    ),
    AnswerRule(
        comes_in="a result from anybody else",
        stanza=_answer("result", "{stranger}"),
        outcome=WAITS,
    ),
    AnswerRule(
        comes_in="an error from anybody else",
        stanza=_answer("error", "{stranger}", "item-not-found"),
        outcome=WAITS,
    ),
)
"""What ``send_url`` makes of what comes back (RFC 6120 section 8.1.2.1 for whose answer counts)."""


def _bounce(peer: str, error: str = "service-unavailable", kind: str = "cancel") -> str:
    xmlns = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    held = f"<error type='{kind}'><{error} {xmlns}/></error>"
    return f"<message type='error' id='{{id}}' from='{peer}' to='{{me}}'>{held}</message>"


BOUNCES: Final = (
    AnswerRule(
        comes_in="an error with the message's id from the recipient",
        stanza=_bounce("{peer}"),
        outcome="unavailable",
    ),
    AnswerRule(
        comes_in="an error with the message's id from the recipient's bare JID",
        stanza=_bounce("{bare}"),
        outcome="unavailable",
    ),
    AnswerRule(
        comes_in="an error with the message's id from the recipient's domain",
        stanza=_bounce("{domain}", "remote-server-not-found"),
        outcome="unavailable",
    ),
    AnswerRule(
        comes_in="an error of another condition",
        stanza=_bounce("{peer}", "not-acceptable", "modify"),
        outcome="reject",
    ),
    AnswerRule(
        comes_in="an error with the message's id from anybody else",
        stanza=_bounce("{stranger}"),
        outcome=WAITS,
    ),
    AnswerRule(
        comes_in="a message with the same id that is no error",
        stanza="<message type='chat' id='{id}' from='{peer}' to='{me}'><body>no</body></message>",
        outcome=WAITS,
    ),
)
"""What ``send_message`` with a ``bounce_timeout`` makes of what comes back in that time."""

SENT: Final = (
    "<message id='{id}' to='{peer}' type='chat'><body>https://files.example/a.pdf</body>"
    f"{X}{SFS}{FALLBACK}{SIMS}</message>"
    "<message id='{other}' to='{peer}' type='chat'><body>a report</body></message>"
)
"""What ``send_message`` sends of a file of which all is known, and that has a description."""
