"""What files of servers in the field become, over real sockets: codings, types, names, progress."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.support.fetching import failure_of, names, step
from tests.support.hostile_http import answer, chunked
from twisted_oob import FileInfo
from twisted_oob.errors import FetchFailed

BODY = gzip.compress(b"what was offered\n", mtime=0)
CODED = "the file has a Content-Encoding"

# --- Content-Encoding

NO_CODINGS = (
    *("utf-8", "UTF-8", "none", "None", "aws-chunked", "identity, identity", "IDENTITY", ""),
    *("binary", "8bit", "us-ascii", "ISO-8859-1", "utf-8, identity", " , identity ,", "null"),
    *("utf-8\r\nContent-Encoding: identity", "charset=utf-8", "text/plain", "7bit, none"),
)


@pytest.mark.parametrize("path", ["/a.txt", "/a.tar.gz"])
@step
async def test_what_is_no_compression_is_no_coding(fetcher, web, path):
    ours = fetcher()
    for coding in NO_CODINGS:
        web.answers = [answer(BODY, f"Content-Encoding: {coding}")]
        assert (await ours.fetch(web.url(path))).path.read_bytes() == BODY, coding


COMPRESSIONS = (
    *("gzip", "GZip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"),
    *("gzip, identity", "identity, gzip", "utf-8, br", "identity\r\nContent-Encoding: gzip"),
    *("gzip;q=1", "dcb", "dcz"),
)


@step
async def test_a_compression_is_refused(fetcher, web, folder):
    ours = fetcher()
    for coding in COMPRESSIONS:
        web.answers = [answer(BODY, f"Content-Encoding: {coding}", "Content-Type: text/plain")]
        error = await failure_of(ours.fetch(web.url("/a.txt")), FetchFailed)
        assert error.text.startswith(CODED), coding
    assert names(folder) == []


ARCHIVES = {
    "by its path": ("x-gzip", "/a.tar.gz", (), None),
    "by its path, in capitals": ("GZIP", "/A.TGZ?x=y.txt", (), None),
    "by its path, of one file": ("gzip", "/log.gz", (), None),
    "by its type": ("gzip", "/download?id=3", ("Content-Type: application/gzip",), None),
    "by its type's suffix": (
        *("gzip", "/report"),
        ("Content-Type: application/vnd.oci.image.layer.v1.Tar+GZIP",),
        None,
    ),
    "by its old type": ("x-gzip", "/a", ("Content-Type: application/x-gzip; a=b",), None),
    "by its header's name": (
        "gzip",
        "/download",
        ('Content-Disposition: attachment; filename="b.tar.gz"',),
        None,
    ),
    "by its offer's name": ("x-gzip", "/download", (), FileInfo(name="c.tgz")),
    "twice nothing beside it": ("identity, x-gzip", "/a.tar.gz", (), None),
}


@pytest.mark.parametrize(
    ("coding", "path", "fields", "info"), ARCHIVES.values(), ids=list(ARCHIVES)
)
@step
async def test_an_archive_is_kept_as_it_came(*, fetcher, web, coding, path, fields, info):
    web.answers = [answer(BODY, f"Content-Encoding: {coding}", *fields)]
    got = await fetcher().fetch(web.url(path), info=info)
    assert got.path.read_bytes() == BODY


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br"])
@step
async def test_no_other_compression_is_kept_for_an_archives_name(fetcher, web, coding):
    web.answers = [answer(BODY, f"Content-Encoding: {coding}")]
    error = await failure_of(fetcher().fetch(web.url("/a.tar.gz")), FetchFailed)
    assert error.text.startswith(CODED)


# --- media types and suffixes

NAMED = {
    "application/pdf": ("/download?id=4", "download.pdf"),
    "text/plain; charset=utf-8": ("/notes", "notes.txt"),
    "IMAGE/JPEG": ("/photo", "photo.jpg"),
    "image/png ;x": ("/", "file.png"),
    "image/webp": ("/get.php/photo", "photo.webp"),
    "image/svg+xml": ("/a", "a.svg"),
    "audio/mpeg": ("/song?x=.wav", "song.mp3"),
    "video/mp4": ("/v/", "file.mp4"),
    "video/webm": ("/v", "v.webm"),
    "application/mp4": ("/v", "v.mp4"),
    "application/pdf; x=1": ("/pdf/1706.03762", "1706.03762.pdf"),
    "audio/x-mpeg": ("/s", "s.mp3"),
    "application/x-rar": ("/r", "r.rar"),
    "application/x-x509-ca-cert": ("/ca", "ca.crt"),
    "application/vnd.ms-excel.sheet.macroEnabled.12": ("/get?id=9", "get.xlsm"),
    "application/zip": ("/z", "z.zip"),
    "application/gzip": ("/g", "g.gz"),
    "application/json": ("/j", "j.json"),
    "text/html": ("/page", "page.html"),
    "application/octet-stream": ("/blob", "blob"),
    "application/x-nobody-knows": ("/n", "n"),
    "text/x-python": ("/script.txt", "script.txt"),
    "text/csv": ("/table.TSV", "table.TSV"),
}


@step
async def test_a_name_without_suffix_gets_that_of_its_type(fetcher, web):
    ours = fetcher()
    got = {}
    for media_type, (path, _) in NAMED.items():
        web.answers = [answer(BODY, f"Content-Type: {media_type}")]
        file = await ours.fetch(web.url(path))
        got[media_type] = (path, file.path.name)
        assert file.media_type == media_type.partition(";")[0].strip().lower()
        file.path.unlink()
    assert got == NAMED


@pytest.mark.parametrize("field", ["", "nonsense", "a/b/c", "/", "text/", "\xff/\xff", "a b/c"])
@step
async def test_a_type_that_is_none_gives_no_suffix(fetcher, web, field):
    web.answers = [answer(BODY, f"Content-Type: {field}"), answer(BODY)]
    for _ in range(2):
        got = await fetcher().fetch(web.url("/name"))
        assert got.media_type is None
        assert got.path.suffix == ""


@step
async def test_the_suffix_of_an_offered_type_is_as_good(fetcher, web):
    web.answers = [answer(BODY)]
    got = await fetcher().fetch(web.url("/scan"), info=FileInfo(media_type="application/pdf"))
    assert (got.path.name, got.media_type) == ("scan.pdf", "application/pdf")


@step
async def test_a_header_that_names_the_file_with_a_suffix_is_kept(fetcher, web):
    web.answers = [answer(BODY, "Content-Disposition: x; filename=a.b", "Content-Type: image/gif")]
    assert (await fetcher().fetch(web.url("/x"))).path.name == "a.b"


@step
async def test_a_header_that_names_the_file_as_mail_does_is_read(fetcher, web):
    disposition = 'Content-Disposition: attachment; filename="=?UTF-8?B?xIx0xJtuw60ucGRm?="'
    web.answers = [answer(BODY, disposition, "Content-Type: application/octet-stream")]
    assert (await fetcher().fetch(web.url("/x"))).path.name == "Čtění.pdf"


# --- names that other programs take for something else

# What is in a URL, or in a header; what must not be so of the name that lands.
DASHES = (
    *("-rf", "--checkpoint=1", "--checkpoint-action=exec=sh evil.txt", "-", "---", "- a", " -a"),
    *("‐a", "–a", "—a", "−a", "-\u200ba", "\u00ad-a", ".-a", "-.a", "~-a", "_-a"),  # noqa: RUF001
)
TAKEN = (
    *("~", "~root", "~/.ssh/config", "desktop.ini", "Desktop.INI", "thumbs.db", ".DS_Store"),
    *("a.lnk", "a.LNK", "a.desktop", "a.Desktop", "a.url", "a.pif", "a.scf", "autorun.inf"),
    *("a.library-ms", "a.search-ms", "con", "nul.txt", "com1.zip"),
    *("\uff0f..\uff0fa", "a\uff3c..\uff3cb", "a\uff02 -x"),
    *("a.lnk.", "a.lnk ", "a.desktop\u200b"),
    *(".bashrc", "..", "a\\..\\b", "a\nb", "a\u202egpj.exe", "$(x)", "`x`"),
)
BAD_SUFFIXES = (
    *(".lnk", ".desktop", ".url", ".pif", ".scf", ".library-ms", ".search-ms"),
    *(".", " "),
)
BAD_NAMES = {"desktop.ini", "thumbs.db", "autorun.inf", "con", "nul.txt", "com1.zip", "..", ""}


def assert_harmless(name):
    assert not name.startswith(("-", ".", "~", " "))
    assert not name.lower().endswith(BAD_SUFFIXES)
    assert name.lower() not in BAD_NAMES
    assert not set(name) & set("/\\\0\n\r\u202e\u200b\uff02")
    assert not re.search("^[\uff0f\uff3c]|\\.\\.[\uff0f\uff3c]|[\uff0f\uff3c]\\.\\.", name)


@step
async def test_no_name_is_taken_for_something_else(fetcher, web, folder):
    ours = fetcher()
    for number, name in enumerate((*DASHES, *TAKEN)):
        coded = "".join(f"%{byte:02X}" for byte in name.encode())
        disposition = f"Content-Disposition: attachment; filename*=UTF-8''{coded}"
        # Who names it: the URL, the server or the offer, in turns.
        path, fields, info = [
            (f"/{coded}", (), None),
            ("/x.bin", (disposition,), None),
            ("/x.bin", (), FileInfo(name=name)),
        ][number % 3]
        web.answers = [answer(BODY, *fields)]
        file = await ours.fetch(web.url(path), info=info)
        assert_harmless(file.path.name)
        assert file.path.parent == folder
        file.path.unlink()


# --- progress, and who asks


@pytest.mark.parametrize(
    ("reply", "total"), [(answer(b"x" * 700_000), 700_000), (chunked(b"x" * 700_000), None)]
)
@step
async def test_progress(fetcher, web, reply, total):
    seen = []
    web.answers = [reply]
    await fetcher().fetch(web.url(), on_progress=lambda *now: seen.append(now))
    assert seen[-1] == (700_000, total)
    assert {told for _, told in seen} == {total}
    counts = [count for count, _ in seen]
    assert counts == sorted(counts)


@step
async def test_a_server_is_told_who_asks(fetcher, web):
    web.answers = [answer(BODY), answer(BODY)]
    await fetcher().fetch(web.url())
    await fetcher(user_agent="tests/1 (+https://files.test)").fetch(web.url())
    ours, chosen = [connection.headers["user-agent"] for connection in web.connections]
    assert ours.startswith("twisted_oob/")
    assert "http" in ours
    assert chosen == "tests/1 (+https://files.test)"


@pytest.mark.parametrize("wrong", ["a\r\nX: y", "a\nb", "a\0b", "ä", 3, None, b"a"])
def test_a_user_agent_that_is_none_is_an_error_at_once(fetcher, wrong):
    with pytest.raises((TypeError, ValueError), match="user_agent"):
        fetcher(user_agent=wrong)
