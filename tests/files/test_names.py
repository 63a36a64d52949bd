"""Under which names files land."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_oob.files.names import (
    LONGEST_NAME,
    SHORTEST_LIMIT,
    encodable,
    file_name,
    last_segment,
    numbered_names,
    safe_folder_name,
    shortened,
)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=plain.txt", "plain.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("inline;FileName = plain.txt ; x=y", "plain.txt"),
        ('attachment; filename="with space.txt"', "with space.txt"),
        ('attachment; filename="a\\"b\\\\c.txt"', "c.txt"),
        ('attachment; filename="semi;colon.txt"', "semi;colon.txt"),
        ('attachment; filename="a\uff02 --x \uff02b.txt"', "a_ --x _b.txt"),
        ("attachment; filename=\"a.txt\"; filename*=UTF-8''b.txt", "b.txt"),
        ("attachment; filename*=UTF-8''b.txt; filename=\"a.txt\"", "b.txt"),
        ("attachment; filename*=utf-8'en'%e2%82%ac%20rates.txt", "€ rates.txt"),
        ("attachment; filename*=ISO-8859-1''%fcber.txt", "über.txt"),
        ("attachment; filename*=UTF-8''%fc.txt; filename=a.txt", "a.txt"),
        ("attachment; filename*=utf-7''b.txt; filename=a.txt", "a.txt"),
        ("attachment; filename*=b.txt; filename=a.txt", "a.txt"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('attachment; x="; filename=evil"; filename=good', "good"),
        ('attachment; filename="raw ü.txt"', "raw ü.txt"),
        (b"attachment; filename=latin-\xfc.txt", "latin-ü.txt"),
        ("attachment; filename=first; filename=second", "first"),
        # As some software for mail writes names (RFC 2047), and browsers read them.
        ('attachment; filename="=?UTF-8?B?5paH5a2XLnR4dA==?="', "文字.txt"),
        ("attachment; filename==?utf-8?q?=C3=BCber_uns=2Epdf?=", "über uns.pdf"),
        ('attachment; filename="=?iso-8859-1?Q?na=EFve?= =?UTF-8?B?LnR4dA?="', "naïve.txt"),
        ('attachment; filename="=?UTF-8*de?Q?=C3=BC?= a.txt"', "ü a.txt"),
        ('attachment; filename="=?koi8-r?B?xs/Uzy5qcGc=?="', "фото.jpg"),
        ('attachment; filename="=?GB2312?B?zsS8/i5kb2M=?="', "文件.doc"),
        ('attachment; filename="=?utf-8?B?Li4vLi4vLnNzaC8tcmY=?="', "rf"),
        ('attachment; filename="=?utf-8?Q?a=00=0A.lnk?="', "a.lnk.download"),
        # These are left as they are.
        ('attachment; filename="=?utf-8?Q?=FF?="', "_=_utf-8_Q_=FF_="),
        ('attachment; filename="=?utf-7?Q?a?="', "_=_utf-7_Q_a_="),
        ('attachment; filename="=?zip?B?YQ==?="', "_=_zip_B_YQ==_="),
        ('attachment; filename="=?utf-8?B?Y?="', "_=_utf-8_B_Y_="),
        ("attachment; filename*=UTF-8''%3D%3Futf-8%3FQ%3Fa%3F%3D", "_=_utf-8_Q_a_="),
        ("attachment", "url.bin"),
        ("", "url.bin"),
        ('attachment; filename="unfinished', "url.bin"),
        ('attachment; filename=""', "url.bin"),
        ('attachment; filename=".."', "url.bin"),
        ("attachment; filename", "url.bin"),
        (";;;=;*=;filename*=''", "url.bin"),
        (None, "url.bin"),
    ],
)
def test_names_from_the_header(disposition, name):
    raw = disposition.encode() if isinstance(disposition, str) else disposition
    assert file_name(raw, "/dir/url.bin?x=/y") == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "file"),
        ("/dir/", "file"),
        ("/a.txt", "a.txt"),
        ("/a.txt?b=/c", "a.txt"),
        ("/%61%20b.txt", "a b.txt"),
        ("/%C3%BC.txt", "ü.txt"),
        ("/u%CC%88.txt", "ü.txt"),
        ("/%2e%2e", "file"),
        ("/..%2f..%2fetc%2fpasswd", "passwd"),
        ("/..%5c..%5cboot.ini", "boot.ini"),
        ("/%00%0d%0a.txt", "txt"),
        ("/.bashrc", "bashrc"),
        ("/.oob-00000000000000000000000000000000.part", None),
        ("/exe.%E2%80%AEgpj", "exe.gpj"),
        ("/a%E2%80%8Bb", "ab"),
        ("/a%EF%BB%BFb", "ab"),
        ("/a%E3%85%A4b", "ab"),
        ("/a%E2%80%A8b", "ab"),
        ("/a:b%3Cc%3E%22%7C%3F*.txt", "a_b_c_____.txt"),
        ("/file.txt:stream", "file.txt_stream"),
        ("/con", "_con"),
        ("/NUL.tar.gz", "_NUL.tar.gz"),
        ("/com1%20.txt", "_com1 .txt"),
        ("/LPT%C2%B9", "_LPT¹"),
        ("/console.txt", "console.txt"),
        ("/trailing...%20.", "trailing"),
        ("/%20.%20x", "x"),
        ("/a%C2%A0%20%09b", "a b"),
        ("/%ff", "\ufffd"),
    ],
)
def test_names_from_the_url(path, name):
    expected = "oob-00000000000000000000000000000000.part" if name is None else name
    assert file_name(None, path) == expected


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a" * 300 + ".txt", ".txt"), ("ü" * 300 + ".tar", ".tar"), ("a" * 250, "a")],
)
def test_long_names_are_cut_but_keep_their_suffix(name, suffix):
    got = file_name(None, f"/{name}")
    assert 190 <= len(got.encode()) <= 200
    assert got.endswith(suffix)


@pytest.mark.parametrize(("size", "is_suffix"), [(1, True), (31, True), (32, False), (40, False)])
def test_a_suffix_is_short(size, is_suffix):
    suffix = "." + "s" * size
    got = file_name(None, f"/{'a' * 300}{suffix}")
    assert len(got) == 200
    assert got.endswith(suffix) is is_suffix
    assert next(islice(numbered_names(f"x{suffix}"), 1, None)) == (
        f"x (2){suffix}" if is_suffix else f"x{suffix} (2)"
    )


@pytest.mark.parametrize("end", [".", " ", ". ", "...", " . "])
def test_a_cut_leaves_no_dot_or_space_at_the_end(end):
    assert file_name(None, f"/{'x' * (200 - len(end))}{end}y{'y' * 100}") == "x" * (200 - len(end))


@pytest.mark.parametrize(("size", "expected"), [(199, 199), (200, 200), (201, 200)])
def test_a_name_may_have_200_bytes(size, expected):
    assert file_name(None, "/" + "x" * size) == "x" * expected


def test_a_cut_is_between_characters():
    assert file_name(None, "/" + "\N{EURO SIGN}" * 100) == "\N{EURO SIGN}" * 66


# One character of each category and of each end of each range that is dropped.
DROPPED = "\a\x7f\x9f\u00ad\u200e\u202e\u2066\ufeff\U000e0041\ud800\udfff\u2028\u2029"
INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe00\ufe0f\uffa0\ufff0\ufff8"
    "\U000e0000\U000e0fff"
)
SEEN = "\u034e\u0350\u115e\u1161\u17b3\u180a\u27ff\u2801\u3163\ufe10\uff9f\uffa1\U0001f600"


@pytest.mark.parametrize("character", DROPPED + INVISIBLE, ids=ascii)
def test_what_is_not_seen_is_dropped(character):
    quoted = character.encode("utf-8", "surrogatepass").hex("%")
    name = file_name(None, f"/a%{quoted}b")
    assert name == ("a\ufffd\ufffd\ufffdb" if "\ud800" <= character <= "\udfff" else "ab")
    assert file_name(None, f"/a{character}b") == "ab"


@pytest.mark.parametrize("character", SEEN, ids=ascii)
def test_what_is_seen_stays(character):
    assert unicodedata.normalize("NFC", character) in file_name(None, f"/a{character}b")


@pytest.mark.parametrize("character", '<>:"|*')
def test_what_windows_forbids_is_replaced(character):
    assert file_name(None, f"/a{character}b") == "a_b"


@pytest.mark.parametrize("tail", ["", ".txt", ".tar.gz", " .txt"])
@pytest.mark.parametrize(
    "device",
    [
        *("con", "prn", "aux", "nul", "conin$", "conout$", "CON", "Nul"),
        *(f"com{digit}" for digit in "0123456789\u00b9\u00b2\u00b3"),
        *(f"lpt{digit}" for digit in "0123456789\u00b9\u00b2\u00b3"),
    ],
)
def test_devices_of_windows_are_renamed(device, tail):
    assert file_name(None, f"/{device}{tail}") == f"_{device}{tail}"


@pytest.mark.parametrize(
    "name", ["com", "lpt", "com10", "comb", "lpt\u2074", "null", "xcon", "a.con"]
)
def test_what_only_looks_like_a_device_stays(name):
    assert file_name(None, f"/{name}") == name


def assert_safe(name):
    assert name
    assert name not in {".", ".."}
    assert len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|')
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in name)
    assert unicodedata.is_normalized("NFC", name)
    assert not name.startswith((".", " ", "-", "~", "+", "@", "="))
    assert not name.endswith((".", " ", "~"))
    assert not name.casefold().endswith((".lnk", ".url", ".desktop"))
    assert not re.search(r"\.\{[^.]*\}$", name)
    assert name.casefold() not in {"desktop.ini", "autorun.inf", "autorun"}
    stem = name.partition(".")[0].strip().lower()
    assert stem not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


PIECES = [*"ab./\\:%\"'; =*\u202e\u0301<\u200d\ud800\u034fü\0-~+@#", "nul", ".lnk", ".{", "}"]
PIECES += ["desktop.ini", "%20", "%C3%BC", "\N{MINUS SIGN}", ".desktop", ".URL", "x" * 190]
PIECES += ["\N{EURO SIGN}" * 60]
NASTY = st.lists(st.sampled_from(PIECES)).map("".join)
TYPES = st.sampled_from([None, "image/jpeg", "application/octet-stream", "text/html"])


@given(st.one_of(st.text(), NASTY), st.one_of(st.none(), st.binary(), NASTY, st.text()), TYPES)
def test_every_name_is_safe(path, disposition, media_type):
    if isinstance(disposition, str):
        disposition = f'x; filename="{disposition}"'.encode("utf-8", "surrogatepass")
    name = file_name(disposition, path, media_type=media_type)
    assert_safe(name)
    for numbered in islice(numbered_names(name), 101):
        assert len(numbered.encode()) <= 220
        assert numbered.startswith(name[:1])


@given(st.one_of(st.text(), NASTY))
def test_numbers_make_no_name_bad(text):
    numbered = list(islice(numbered_names(shortened(file_name(None, "", offered=text), 100)), 101))
    for name in (*numbered[:3], numbered[-1]):
        assert_safe(name)


@given(st.one_of(st.text(), NASTY))
def test_a_safe_name_stays_as_it_is(text):
    name = file_name(None, "", offered=text)
    assert file_name(None, "", offered=name) == name
    assert file_name(None, "/%" + name.encode().hex("%")) == name


@given(
    st.one_of(st.text(), NASTY),
    st.sampled_from(["ascii", "latin-1", "koi8-r", "shift_jis", "utf-8"]),
    st.integers(SHORTEST_LIMIT, 200),
)
def test_a_name_that_is_made_to_fit_is_safe(text, encoding, size):
    name = shortened(encodable(file_name(None, "", offered=text), encoding), size)
    assert_safe(name)
    assert len(name.encode()) <= size
    name.encode(encoding)


@given(st.one_of(st.text(), NASTY))
def test_a_name_of_a_folder_is_safe(text):
    name = safe_folder_name(text)
    assert safe_folder_name(name) == name
    assert name
    assert not name.startswith((".", " ", "-", "~", "+", "@", "="))
    assert "/" not in name


@pytest.mark.parametrize("name", ["-rf", "--", ".-.a", " -a", "-", "-.-"])
def test_no_name_looks_like_an_option(name):
    for made in (file_name(None, f"/{name}"), file_name(None, "/", offered=name)):
        assert made in {"rf", "a", "file"}


def test_a_header_is_read_only_so_far():
    assert file_name(b"x;" + b" " * 1000 + b"filename=b", "/a") == "b"
    assert file_name(b"x;" + b" " * 5000 + b"filename=b", "/a") == "a"
    assert file_name(b"filename=".ljust(4095) + b"bc", "/a") == "b"


@pytest.mark.parametrize(
    ("name", "second"),
    [("a.txt", "a (2).txt"), ("a", "a (2)"), ("a.tar.gz", "a.tar (2).gz")],
)
def test_numbered_names(name, second):
    names = numbered_names(name)
    assert next(names) == name
    assert next(names) == second


def test_numbered_names_never_end_and_become_unguessable():
    names = list(islice(numbered_names("a.txt"), 300))
    assert len(set(names)) == 300
    assert names[98] == "a (99).txt"
    assert len(names[99]) > len("a (100).txt")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(200, "a" * 100 + ".jpeg"), (30, "a" * 25 + ".jpeg"), (24, "a" * 19 + ".jpeg")],
)
def test_a_name_is_shortened_before_its_suffix(size, expected):
    assert shortened("a" * 100 + ".jpeg", size) == expected


def test_a_name_that_becomes_bad_by_a_cut_is_made_harmless():
    assert shortened("a" * 26 + ".lnk and more of it that is cut", 30) == "a" * 21 + ".download"
    assert shortened("a" * 26 + ".lnk", SHORTEST_LIMIT) == "a" * 15 + ".download"


@pytest.mark.parametrize(
    ("name", "encoding", "expected"),
    [
        ("a.txt", "ascii", "a.txt"),
        ("über.txt", "ascii", "uber.txt"),
        ("über.txt", "latin-1", "über.txt"),
        ("план.pdf", "ascii", "____.pdf"),
        ("план.pdf", "koi8-r", "план.pdf"),
        ("Ångström \N{EURO SIGN} x\u0302.ü", "ascii", "Angstrom _ x.u"),
        ("a\N{ONE DOT LEADER}lnk", "ascii", "a_lnk"),
        ("a\N{FRACTION SLASH}\N{CARE OF}.txt", "ascii", "a__.txt"),
        ("\N{FULLWIDTH DIGIT ONE}\N{VULGAR FRACTION ONE HALF}", "ascii", "1_"),
        ("desktöp.ini", "ascii", "_desktop.ini"),
        ("a.desktöp", "ascii", "a.desktop.download"),
        ("\u0301", "ascii", "file"),
    ],
)
def test_what_an_encoding_can_not_have_is_replaced(name, encoding, expected):
    assert encodable(name, encoding) == expected


@pytest.mark.parametrize(
    ("path", "disposition", "offered", "expected"),
    [
        ("/download?id=3", None, None, "download.jpg"),
        ("/download?name=a.png", None, None, "download.jpg"),
        ("/", None, None, "file.jpg"),
        ("", None, None, "file.jpg"),
        ("/a.png/", None, None, "file.jpg"),
        ("/x", b"attachment; filename=report", None, "report.jpg"),
        ("/Mr.%20Smith", None, None, "Mr. Smith.jpg"),
        ("/pdf/2301.12345", None, None, "2301.12345.jpg"),
        ("/report.2024", None, None, "report.2024.jpg"),
        ("/x", b"attachment; filename=scan.20240229", None, "scan.20240229.jpg"),
        ("/v1.2", None, None, "v1.2"),
        ("/parts.001", None, None, "parts.001"),
        ("/con", None, None, "_con.jpg"),
        ("/-x~", None, None, "x.jpg"),
        ("/" + "x" * 300, None, None, "x" * 196 + ".jpg"),
        ("/x." + "y" * 40, None, None, "x." + "y" * 40 + ".jpg"),
        ("/a.png", None, None, "a.png"),
        ("/x.lnk", None, None, "x.lnk.download"),
        ("/x", b"attachment; filename=a.b", None, "a.b"),
        ("/x", None, "offered", "offered"),
        ("/x", None, "..", "x.jpg"),
        ("/x", b"filename=y", "offered", "offered"),
    ],
)
def test_a_name_without_a_suffix_gets_that_of_its_type(path, disposition, offered, expected):
    assert file_name(disposition, path, offered=offered, media_type="image/jpeg") == expected


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "x/unknown"])
def test_a_type_that_says_nothing_gives_no_suffix(media_type):
    assert file_name(None, "/download", media_type=media_type) == "download"


@pytest.mark.parametrize(
    ("path", "segment"), [("/a/b%20c.gz?d=/e", "b c.gz"), ("/a/", ""), ("", ""), ("/?/x", "")]
)
def test_the_last_segment_of_a_path(path, segment):
    assert last_segment(path) == segment


def test_a_segment_of_any_length_takes_little_time():
    # Unicode sorts these marks, which takes the square of their number.
    assert len(last_segment("/" + "%CC%81%CC%A7" * 20_000)) == LONGEST_NAME
