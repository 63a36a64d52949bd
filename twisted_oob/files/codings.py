"""Content codings (RFC 9110 section 8.4.1): whether what comes is the file itself.

We ask for ``identity``, as a file that was compressed on the way is not the one that was offered,
and may be a zip bomb. Nothing is ever decoded here. Two mistakes of servers are common, and harm
nobody:

- They put into Content-Encoding what is no coding: a character set, ``none``, ``aws-chunked``. The
  file is as it is.
- They call an archive's own compression a coding: ``x-gzip`` for a ``.tar.gz``. The file is the
  archive, and stays one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from twisted_oob.errors import FetchFailed
from twisted_oob.files.urls import quoted


class _Coding(NamedTuple):
    """A compression (or another coding that changes the bytes), and the archives made by it.

    Attributes:
        words: Its names in Content-Encoding, in lower case.
        suffixes: Suffixes, without the dot, of files that are compressed so by themselves.
        media_types: Media types of such files, beside those that end with one of the words:
            ``application/gzip``, or any with a suffix (RFC 6838 section 4.2.8), such as
            ``application/tlsrpt+gzip``.
    """

    words: str
    suffixes: str = ""
    media_types: str = ""


# IANA's registry of content codings, with those that are in use without being there.
_CODINGS: Final = (
    _Coding(
        "gzip x-gzip gz gunzip",
        "gz gzip tgz tpz taz svgz emz wmz vgz wrz xgz adz mgz bgz cpgz dz crate gnumeric",
        "application/gzip application/x-gzip application/x-gunzip application/gzipped "
        "application/gzip-compressed application/x-gzip-compressed gzip/document "
        "multipart/x-gzip application/tgz application/x-tgz application/x-tar-gz "
        "application/x-compressed application/x-compressed-tar application/x-gtar-compressed "
        "application/x-gzip-compressed-tar image/svg+xml-compressed application/x-gnumeric",
    ),
    _Coding(
        "compress x-compress",
        "z taz tz",
        "application/compress application/x-compress application/x-compressed application/x-tarz",
    ),
    _Coding("deflate x-deflate zlib x-zlib", "zz zlib", "application/zlib application/x-zlib"),
    _Coding("br brotli x-br", "br tbr", "application/brotli application/x-brotli"),
    _Coding(
        "zstd x-zstd zst",
        "zst zstd tzst",
        "application/zstd application/x-zstd application/x-zstd-compressed-tar",
    ),
    _Coding(
        "bzip2 x-bzip2 bzip x-bzip bz2",
        "bz2 bz tbz tbz2 tb2",
        "application/bzip2 application/x-bzip2 application/x-bzip application/x-bzip-compressed-tar"
        " application/x-bzip2-compressed-tar application/x-bz2",
    ),
    _Coding("xz x-xz", "xz txz", "application/xz application/x-xz application/x-xz-compressed-tar"),
    _Coding(
        "lzma x-lzma",
        "lzma tlz",
        "application/lzma application/x-lzma application/x-lzma-compressed-tar",
    ),
    _Coding(
        "lzip x-lzip",
        "lz tlz",
        "application/lzip application/x-lzip application/x-lzip-compressed-tar",
    ),
    _Coding("lz4 x-lz4", "lz4", "application/x-lz4 application/x-lz4-compressed-tar"),
    _Coding("lzo x-lzo lzop x-lzop", "lzo tzo", "application/x-lzop application/x-tzo"),
    _Coding("snappy x-snappy x-snappy-framed", "sz snappy", "application/x-snappy-framed"),
    _Coding("zip x-zip", "zip", "application/zip application/x-zip application/x-zip-compressed"),
    _Coding("exi", "exi", "application/exi"),
    _Coding("pack200-gzip pack200", "pack.gz pack", "application/x-java-pack200"),
    # These need a key, or another file, to be read at all.
    _Coding("aes128gcm aesgcm dcb dcz sdch vcdiff xdelta peerdist"),
)
_BY_WORD: Final = {word: coding for coding in _CODINGS for word in coding.words.split()}
_WORD: Final = re.compile(r"[a-z0-9-]+")
# What is between the words of a media type, such as "application/vnd.oci.image.layer.v1.tar+gzip".
_BETWEEN: Final = re.compile(r"[/.+-]")
# Codings of one answer that are looked at.
_MOST: Final = 8


def check_codings(
    values: Sequence[bytes], names: Iterable[str] = (), media_type: str | None = None
) -> None:
    """Check that what comes is the file itself.

    Args:
        values: The values of Content-Encoding, in their order.
        names: The names that the file goes by: the chosen one, and the URL's last segment.
        media_type: Its media type in lower case; None if nobody tells.

    Raises:
        FetchFailed: The file is encoded, and is no archive that is so by itself.
    """
    # Several header lines are one list (RFC 9110 section 5.3). What is in it is read by words:
    # some servers separate codings by spaces, or put one in quotes.
    value = b", ".join(values)
    words = _WORD.findall(value.decode("latin-1").lower())
    codings = [_BY_WORD[word] for word in words if word in _BY_WORD]
    if not codings:
        return
    if len(codings) <= _MOST and any(_explained(codings, name, media_type) for name in names):
        return
    raise FetchFailed("the file has a Content-Encoding", detail=f"Content-Encoding {quoted(value)}")


def _explained(codings: Sequence[_Coding], name: str, media_type: str | None) -> bool:
    """Tell whether a file is itself what these codings make of one, in their order.

    The last coding is the outermost, as is the last suffix: ``gzip, br`` makes an ``a.gz.br``.
    The media type tells the outermost only.
    """
    rest = name.lower()
    for coding in reversed(codings):
        for suffix in coding.suffixes.split():
            if rest.endswith(f".{suffix}"):
                rest = rest.removesuffix(f".{suffix}")
                break
        else:
            if media_type is None or not _names(media_type, coding):
                return False
        media_type = None
    return True


def _names(media_type: str, coding: _Coding) -> bool:
    """Tell whether a media type is that of files which are compressed so by themselves."""
    last = _BETWEEN.split(media_type)[-1]
    return last in coding.words.split() or media_type in coding.media_types.split()
