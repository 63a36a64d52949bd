"""The suffix of a media type, for a file whose name has none.

The table is our own. What ``mimetypes`` knows depends on Python's version and on the files of the
system, and it has no preference between ``.jpg`` and ``.jpe``.
"""

from __future__ import annotations

from typing import Final

# application/octet-stream is not here: it says nothing of the file.
_TABLE: Final = """
application/atom+xml .atom
application/bzip2 .bz2
application/epub+zip .epub
application/geo+json .geojson
application/gpx+xml .gpx
application/gzip .gz
application/java-archive .jar
application/javascript .js
application/json .json
application/ld+json .jsonld
application/lzip .lz
application/manifest+json .webmanifest
application/msword .doc
application/n-quads .nq
application/n-triples .nt
application/ogg .ogx
application/pdf .pdf
application/pgp-encrypted .pgp
application/pgp-keys .asc
application/pgp-signature .sig
application/pkcs7-mime .p7c
application/postscript .ps
application/rss+xml .rss
application/rtf .rtf
application/sql .sql
application/tgz .tgz
application/toml .toml
application/vnd.amazon.ebook .azw
application/vnd.android.package-archive .apk
application/vnd.apple.installer+xml .mpkg
application/vnd.apple.mpegurl .m3u8
application/vnd.debian.binary-package .deb
application/vnd.google-earth.kml+xml .kml
application/vnd.google-earth.kmz .kmz
application/vnd.ms-excel .xls
application/vnd.ms-fontobject .eot
application/vnd.ms-outlook .msg
application/vnd.ms-powerpoint .ppt
application/vnd.oasis.opendocument.graphics .odg
application/vnd.oasis.opendocument.presentation .odp
application/vnd.oasis.opendocument.spreadsheet .ods
application/vnd.oasis.opendocument.text .odt
application/vnd.openxmlformats-officedocument.presentationml.presentation .pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet .xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document .docx
application/vnd.rar .rar
application/vnd.sqlite3 .sqlite3
application/vnd.visio .vsd
application/wasm .wasm
application/x-7z-compressed .7z
application/x-abiword .abw
application/x-apple-diskimage .dmg
application/x-bittorrent .torrent
application/x-brotli .br
application/x-bz2 .bz2
application/x-bzip .bz
application/x-bzip2 .bz2
application/x-compress .Z
application/x-compressed-tar .tgz
application/x-cpio .cpio
application/x-csh .csh
application/x-debian-package .deb
application/x-dvi .dvi
application/x-freearc .arc
application/x-gtar .gtar
application/x-gtar-compressed .tgz
application/x-gzip .gz
application/x-gzip-compressed .gz
application/x-hdf .hdf
application/x-hdf5 .h5
application/x-iso9660-image .iso
application/x-javascript .js
application/x-latex .latex
application/x-lzip .lz
application/x-lzma .lzma
application/x-mobipocket-ebook .mobi
application/x-mpegurl .m3u8
application/x-ndjson .ndjson
application/x-netcdf .nc
application/x-pdf .pdf
application/x-pkcs12 .p12
application/x-rar-compressed .rar
application/x-rpm .rpm
application/x-sh .sh
application/x-shar .shar
application/x-shockwave-flash .swf
application/x-sqlite3 .sqlite3
application/x-subrip .srt
application/x-tar .tar
application/x-tar-gz .tgz
application/x-tcl .tcl
application/x-tex .tex
application/x-texinfo .texinfo
application/x-tgz .tgz
application/x-xz .xz
application/x-yaml .yaml
application/x-zip .zip
application/x-zip-compressed .zip
application/xhtml+xml .xhtml
application/xml .xml
application/xslt+xml .xslt
application/yaml .yaml
application/zip .zip
application/zstd .zst
audio/3gpp .3gp
audio/3gpp2 .3g2
audio/aac .aac
audio/aacp .aac
audio/aiff .aiff
audio/amr .amr
audio/basic .au
audio/flac .flac
audio/m4a .m4a
audio/midi .mid
audio/mp3 .mp3
audio/mp4 .m4a
audio/mpeg .mp3
audio/mpegurl .m3u
audio/ogg .ogg
audio/opus .opus
audio/vnd.wave .wav
audio/vorbis .ogg
audio/wav .wav
audio/wave .wav
audio/webm .weba
audio/x-aiff .aiff
audio/x-flac .flac
audio/x-m4a .m4a
audio/x-matroska .mka
audio/x-midi .mid
audio/x-mp3 .mp3
audio/x-mpegurl .m3u
audio/x-ms-wma .wma
audio/x-pn-realaudio .ra
audio/x-wav .wav
font/otf .otf
font/ttf .ttf
font/woff .woff
font/woff2 .woff2
image/apng .apng
image/avif .avif
image/bmp .bmp
image/emf .emf
image/gif .gif
image/heic .heic
image/heif .heif
image/jp2 .jp2
image/jpeg .jpg
image/jpg .jpg
image/jxl .jxl
image/pjpeg .jpg
image/png .png
image/svg+xml .svg
image/svg+xml-compressed .svgz
image/tiff .tiff
image/vnd.adobe.photoshop .psd
image/vnd.djvu .djvu
image/vnd.microsoft.icon .ico
image/webp .webp
image/wmf .wmf
image/x-bmp .bmp
image/x-icon .ico
image/x-ms-bmp .bmp
image/x-png .png
image/x-portable-anymap .pnm
image/x-portable-bitmap .pbm
image/x-portable-graymap .pgm
image/x-portable-pixmap .ppm
image/x-xbitmap .xbm
image/x-xcf .xcf
image/x-xpixmap .xpm
message/rfc822 .eml
model/gltf+json .gltf
model/gltf-binary .glb
model/obj .obj
model/stl .stl
text/calendar .ics
text/css .css
text/csv .csv
text/directory .vcf
text/html .html
text/javascript .js
text/json .json
text/markdown .md
text/n3 .n3
text/plain .txt
text/richtext .rtx
text/rtf .rtf
text/sgml .sgml
text/tab-separated-values .tsv
text/troff .roff
text/turtle .ttl
text/vcard .vcf
text/vtt .vtt
text/x-c .c
text/x-csrc .c
text/x-diff .diff
text/x-java .java
text/x-log .log
text/x-markdown .md
text/x-patch .patch
text/x-python .py
text/x-rst .rst
text/x-sgml .sgml
text/x-sh .sh
text/x-tex .tex
text/x-vcalendar .vcs
text/x-vcard .vcf
text/x-yaml .yaml
text/xml .xml
text/yaml .yaml
video/3gpp .3gp
video/3gpp2 .3g2
video/avi .avi
video/mp2t .ts
video/mp4 .mp4
video/mpeg .mpeg
video/ogg .ogv
video/quicktime .mov
video/vnd.avi .avi
video/webm .webm
video/x-flv .flv
video/x-m4v .m4v
video/x-matroska .mkv
video/x-ms-asf .asf
video/x-ms-wmv .wmv
video/x-msvideo .avi
"""
SUFFIXES: Final[dict[str, str]] = dict(line.split() for line in _TABLE.split("\n") if line)
"""The suffix, with its dot, of each media type in lower case."""

# What an unknown type is made of (RFC 6839, RFC 9512): "application/vnd.x+json" is JSON.
_STRUCTURED: Final = {"gzip": ".gz", "json": ".json", "xml": ".xml", "yaml": ".yaml", "zip": ".zip"}


def suffix_of(media_type: str | None) -> str:
    """Give the suffix that files of a media type usually have.

    Args:
        media_type: The type without parameters, in lower case; None if nobody tells.

    Returns:
        The suffix with its dot; empty if the type is unknown, or says nothing of the file.
    """
    if media_type is None:
        return ""
    return SUFFIXES.get(media_type) or _STRUCTURED.get(media_type.rpartition("+")[2], "")
