"""Files that one message describes, and a later one says where to get."""

from __future__ import annotations

import pytest

from tests.support.written import arrived, attached, file, sfs, x
from twisted_oob import FileInfo
from twisted_oob.protocol.attached import attached_in, attached_to, described_in

URL = "https://h.example/a.pdf"
NAME = file("<name>a.pdf</name>")
DESCRIBED = {
    "without sources": ([sfs(described=NAME)], [("", FileInfo("a.pdf"))]),
    "with an id": ([sfs(described=NAME, named="f")], [("f", FileInfo("a.pdf"))]),
    "only for Jingle": (
        [sfs(described=NAME, more="<jinglepub xmlns='urn:xmpp:jinglepub:1'/>")],
        [("", FileInfo("a.pdf"))],
    ),
    "several": (
        [sfs(described=NAME, named="f"), sfs(described=file("<size>3</size>"), named="g")],
        [("f", FileInfo("a.pdf")), ("g", FileInfo(size=3))],
    ),
    "with a URL": ([sfs(URL, described=NAME)], []),
    "nothing known": ([sfs()], []),
    "a name that no file can have": ([sfs(described=file(f"<name>{'a' * 256}</name>"))], []),
    "no file": (["<file-sharing xmlns='urn:xmpp:sfs:0'/>", x(URL)], []),
}


@pytest.mark.parametrize(("children", "found"), DESCRIBED.values(), ids=DESCRIBED)
def test_described_in(children, found):
    assert list(described_in(arrived(*children))) == found


def test_what_is_attached_to_what():
    message = arrived(attached("https://h.example:443/a.pdf", "a.pdf", to="m0", named="f"))
    assert attached_to(message) == "m0"
    assert attached_in(message) == {URL: "f"}


@pytest.mark.parametrize("child", ["", "<attach-to xmlns='urn:xmpp:message-attaching:1'/>", x(URL)])
def test_nothing_is_attached(child):
    assert attached_to(arrived(child)) is None
    assert attached_in(arrived(child)) == {}
