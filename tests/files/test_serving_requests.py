"""Whatever is asked, nothing but the shared file can be read, and only by its own URL.

Requests are generated: some are nearly right, some are hostile, some are noise. There are 500 lists
of them always, and 10,000 with ``OOB_REQUIRE_SERVERS=1``.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.sharing import MemoryShare, path_of

EXAMPLES = 500
# No test may take a minute, so that many take turns.
ROUNDS = 20 if os.environ.get("OOB_REQUIRE_SERVERS") == "1" else 1

SHARED = b"SHARED" * 40_000  # more than one piece
OTHER = b"OTHER-SHARE" * 100
SECRET = b"SECRET" * 1000
NAME = "photo of me.png"


class Place:
    """A share with two files, beside a file that nobody shares and one that was closed."""

    def __init__(self, folder):
        (folder / NAME).write_bytes(SHARED)
        (folder / "other.png").write_bytes(OTHER)
        (folder / "secret.txt").write_bytes(SECRET)
        (folder / "link.txt").symlink_to(folder / NAME)
        self.memory = MemoryShare(public_url="https://files.example/some/path")
        share = self.memory.share
        self.shared = share.add(folder / "link.txt", name=NAME)
        # What the path means later is not what is served.
        (folder / "link.txt").unlink()
        (folder / "link.txt").symlink_to(folder / "secret.txt")
        self.other = share.add(folder / "other.png")
        closed = share.add(folder / "secret.txt")
        self.closed = path_of(closed.url)
        closed.close()
        self.path = path_of(self.shared.url).removeprefix("/some/path")
        self.token = self.path.split("/")[1]
        self.folder = folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("shared"))
    yield place
    place.memory.share.stopService()


# In what is generated, these stand for what is known only when the test runs.
WORDS = ["{path}", "{token}", "{name}", "{prefix}", "{closed}", "{folder}", "{secret}", "{near}"]
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        ["/", "//", "..", ".", "%2e%2e", "%2f", "%252f", "\\", "?", "#", "%00", "%", ";"]
    ),
    st.sampled_from(["http://files.example", "HTTP://x:1", "https://", "file://", "/../../", "*"]),
    st.sampled_from(["secret.txt", "etc/passwd", "/..%2f..%2f", "~root", "x" * 300, "é"]),
)
TARGETS = (
    st.just("{path}")
    | st.just("{prefix}{path}")
    | st.sampled_from(
        ["/{token}/", "/{token}", "/{near}/{name}", "{closed}", "/", "*", "{path}?a=/.."]
    )
    | st.lists(PIECES, min_size=1, max_size=8).map("".join)
    | st.lists(PIECES, min_size=1, max_size=4).map(lambda pieces: "/" + "".join(pieces))
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
)
METHODS = st.sampled_from(
    ["GET"] * 6 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "G@T", ""]
)
VERSIONS = st.sampled_from(["HTTP/1.1"] * 5 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", ""])
NUMBERS = st.integers(0, len(SHARED) + 10).map(str) | st.sampled_from(["", "0", "-1", "9" * 30])
RANGES = st.builds("bytes={}-{}".format, NUMBERS, NUMBERS) | st.sampled_from(
    ["bytes=0-0,5-9", "bytes=", "bytes=-", "lines=0-1", "bytes=0-" + "9" * 5000, "bytes=1-0"]
)
HEADERS = st.one_of(
    st.tuples(st.just("Range"), RANGES),
    st.tuples(st.just("If-Range"), st.sampled_from(['"x"', 'W/"x"', "{etag}", "{modified}", ""])),
    st.tuples(
        st.just("Host"), st.sampled_from(["files.example", "", "[::1", "{folder}", "a" * 999])
    ),
    st.tuples(
        st.just("Connection"), st.sampled_from(["close", "keep-alive", "upgrade", "x, close"])
    ),
    st.tuples(st.just("Expect"), st.sampled_from(["100-continue", "200-ok"])),
    st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "gzip", "identity"])),
    st.tuples(st.just("Content-Length"), NUMBERS),
    st.tuples(
        st.sampled_from(
            ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "Referer", "Upgrade"]
        ),
        TARGETS,
    ),
    st.tuples(st.sampled_from(["Cookie", "Authorization", "X", "X-Y ", "", " X"]), TARGETS),
)
ENDS = st.sampled_from(["\r\n"] * 8 + ["\n", "\r", "\r\n ", "\0"])
BODIES = st.sampled_from(
    [b""] * 3 + [b"x" * 100, b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)


@st.composite
def requests(draw):
    """One request, with what is known only later in braces."""
    lines = [f"{draw(METHODS)} {draw(TARGETS)} {draw(VERSIONS)}"]
    lines += [": ".join(draw(HEADERS)) for _ in range(draw(st.integers(0, 5)))]
    end = draw(ENDS)
    return end.join([*lines, "", ""]), draw(BODIES)


def filled(text, place):
    """Fill in what is known now."""
    known = {
        "path": place.path,
        "token": place.token,
        "name": place.path.split("/")[2],
        "prefix": "/some/path",
        "closed": place.closed,
        "folder": str(place.folder),
        "secret": f"{place.folder}/secret.txt",
        "near": place.token[:-1] + ("A" if place.token[-1] != "A" else "B"),
        "etag": place.shared.headers()["ETag"],
        "modified": place.shared.headers()["Last-Modified"],
    }
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], ""), text).encode(
        "utf-8", "replace"
    )


def is_right(target, place):
    """Whether this is a URL of the shared file, however it is written."""
    target = re.sub(rb"^https?://[^/?#]*", b"", target, flags=re.IGNORECASE)
    path = unquote_to_bytes(target.partition(b"?")[0].removeprefix(b"/some/path"))
    return path == f"/{place.token}/{NAME}".encode()


@settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=False,  # or all rounds would be the same
)
@example([("GET {path} HTTP/1.1\r\n\r\n", b"")])
@example([("GET {path} HTTP/1.0\r\nRange: bytes=5-\r\nIf-Range: {etag}\r\n\r\n", b"")])
@example([("HEAD {prefix}{path} HTTP/1.1\r\n\r\n", b"")] * 3)
@example([("GET http://x{prefix}{path}?y HTTP/1.1\r\nContent-Length: 100\r\n\r\n", b"x" * 100)])
@example(
    [("GET {folder}/secret.txt HTTP/1.1\r\n\r\n", b""), ("GET {closed} HTTP/1.1\r\n\r\n", b"")]
)
@given(st.lists(requests(), min_size=1, max_size=3))
def ask(place, asked):
    transport = place.memory.connect()
    sent = [(filled(text, place), body) for text, body in asked]
    for text, body in sent:
        place.memory.send(transport, text + body)
    data = transport.value()
    transport.loseConnection()
    assert b"SECRET" not in data
    assert b"OTHER" not in data
    assert b"root:" not in data
    lines = [text.partition(b"\r\n")[0].split(b" ") for text, _ in sent]
    right = [line for line in lines if line[0] == b"GET" and is_right(line[1], place)]
    if b"SHARED" in data or b"HAREDS" in data:
        assert right
    if not any(is_right(line[1], place) for line in lines if len(line) > 1):
        assert place.token.encode() not in data
        assert NAME.encode() not in data
        assert b"206 Partial" not in data
        assert b" 200 " not in data
    statuses = set(re.findall(rb"HTTP/1\.[01] (\d+) ", data))
    assert statuses <= {b"100", b"200", b"206", b"400", b"404", b"405", b"416"}
    assert len(data) < 3 * (len(SHARED) + 2000)


# pytest-twisted wraps a test of hypothesis anew for each of its parameters, one around the other.
@pytest.mark.parametrize("_round", range(ROUNDS))
def test_nothing_but_the_shared_file_can_be_read(place, _round):
    ask(place)


def test_the_right_url_gives_the_file(place):
    """What the test above generates is not all wrong."""
    for target in ("{path}", "{prefix}{path}", "http://files.example{path}?x"):
        data = place.memory.ask(filled(f"GET {target} HTTP/1.1\r\n\r\n", place))
        assert data.partition(b"\r\n\r\n")[2] == SHARED
