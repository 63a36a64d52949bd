"""Which Content-Encodings leave the file itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.errors import FetchFailed
from twisted_oob.files.codings import check_codings

PLAIN = "|identity|Identity|identity, identity|UTF-8|utf8|none|aws-chunked|binary|8bit|base64|null"
PLAIN += "|text/plain|iso-8859-1|pt-br|x|,|, ,|;q=1|aws-chunked, identity|*|chunked|gzipped-not"
COMPRESSED = "gzip|x-gzip|GZip| gzip |deflate|compress|x-compress|br|zstd|dcb|dcz|exi|pack200-gzip"
COMPRESSED += "|aes128gcm|bzip2|x-bzip2|xz|x-xz|lzma|lz4|snappy|sdch|identity, gzip|gzip, identity"
COMPRESSED += '|"gzip"|gzip;q=1|aws-chunked,gzip|gzip deflate|utf-8, br|gzip, gzip|zlib|lzo|zip'


def is_refused(value, name="a.txt", media_type=None):
    try:
        check_codings([value.encode("latin-1")], [name], media_type)
    except FetchFailed:
        return True
    return False


@pytest.mark.parametrize("value", PLAIN.split("|"))
def test_what_is_no_compression_leaves_the_file_as_it_is(value):
    assert not is_refused(value)


@pytest.mark.parametrize("value", COMPRESSED.split("|"))
def test_a_compressed_file_is_refused(value):
    assert is_refused(value)
    assert is_refused(value, "a.txt", "text/plain")


def test_several_lines_are_one_list():
    check_codings([], ["a"])
    check_codings([b"identity", b"", b"UTF-8"], ["a"])
    with pytest.raises(FetchFailed) as caught:
        check_codings([b"identity", b"gzip"], ["a"])
    assert caught.value.text == "the file has a Content-Encoding"
    assert "identity, gzip" in caught.value.detail


ARCHIVES = {
    "gzip": "a.gz a.tgz a.tar.gz A.TAR.GZ a.svgz a.emz",
    "x-gzip": "a.gz a.tar.gz a.taz",
    "compress": "a.Z a.tar.Z a.taz",
    "x-compress": "a.z",
    "bzip2": "a.bz2 a.tbz2",
    "x-bzip2": "a.tar.bz2 a.tbz",
    "xz": "a.xz a.txz",
    "x-xz": "a.tar.xz",
    "lzma": "a.lzma a.tlz",
    "zstd": "a.zst a.tar.zst",
    "br": "a.br",
    "lz4": "a.lz4",
    "deflate": "a.zz",
    "pack200-gzip": "a.pack.gz",
    "gzip, br": "a.gz.br",
    "gzip, gzip": "a.tar.gz.gz",
    "identity, gzip, utf-8": "a.gz",
}
TYPES = {
    "gzip": "application/gzip application/x-gzip application/x-gtar-compressed application/x-tgz",
    "x-gzip": "application/x-gzip application/x-compressed-tar image/svg+xml-compressed "
    "application/tlsrpt+gzip application/vnd.docker.image.rootfs.diff.tar.gzip",
    "compress": "application/x-compress",
    "bzip2": "application/x-bzip2 application/x-bzip-compressed-tar",
    "xz": "application/x-xz",
    "zstd": "application/zstd application/vnd.oci.image.layer.v1.tar+zstd",
    "br": "application/x-brotli",
}


@pytest.mark.parametrize("value", ARCHIVES)
def test_an_archive_that_is_so_by_its_name_is_kept(value):
    for name in ARCHIVES[value].split():
        assert not is_refused(value, name)
        assert not is_refused(value, name, "application/x-tar")


@pytest.mark.parametrize("value", TYPES)
def test_an_archive_that_is_so_by_its_type_is_kept(value):
    for media_type in TYPES[value].split():
        assert not is_refused(value, "download", media_type)


@pytest.mark.parametrize(
    ("value", "name", "media_type"),
    [
        ("gzip", "a.zip", "application/zip"),
        ("gzip", "a.tar.bz2", None),
        ("gzip", "gz", None),
        ("gzip", "a.gz.txt", None),
        ("gzip", "a", "application/gzip+json"),
        ("gzip", "a", "application/vnd.ungzip"),
        ("gzip", "agz", None),
        ("br", "a.gz", "application/gzip"),
        ("br, gzip", "a.gz", None),
        ("gzip, br", "a.br", None),
        ("gzip, br", "a.br.gz", None),
        ("gzip, gzip", "a.gz", None),
        ("gzip, gzip", "a", "application/gzip"),
        ("aes128gcm", "a.aes", None),
        ("sdch", "a.gz", None),
    ],
)
def test_what_the_file_does_not_explain_is_refused(value, name, media_type):
    assert is_refused(value, name, media_type)


def test_one_of_the_names_explains_all_codings():
    check_codings([b"gzip"], ["logs", "a.gz"])
    check_codings([b"gzip"], ["a.gz", ""])
    check_codings([b"gzip, br"], ["a.gz", "a.br"], "application/x-brotli")
    with pytest.raises(FetchFailed):
        check_codings([b"gzip, br"], ["a.gz", "a.br"])


def test_a_long_one_is_told_in_part_and_judged_at_once():
    with pytest.raises(FetchFailed) as caught:
        check_codings([b"gzip," * 10_000], ["a" + ".gz" * 10_000])
    assert len(caught.value.detail) < 500


@given(st.lists(st.binary()), st.text())
def test_whatever_comes_is_taken_or_refused(values, name):
    try:
        check_codings(values, [name], None)
    except FetchFailed:
        return
