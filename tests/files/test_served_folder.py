"""ServedFolder: what a folder gives by name, and that nothing leads out of it."""

from __future__ import annotations

import errno
import os
import socket
import time
import tracemalloc
import unicodedata
from os import link

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.fetching import descriptors_in
from twisted_oob.errors import WrongType
from twisted_oob.files import served_folder
from twisted_oob.files.served_folder import MOST_LISTED, ServedFile, ServedFolder
from twisted_oob.files.source import SourceFile

GENERATED = settings(max_examples=60, deadline=None)
SECRET = b"secret"


@pytest.fixture
def path(tmp_path):
    """A folder, beside it a secret."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    path = tmp_path / "given"
    path.mkdir()
    return path


@pytest.fixture
def folder(path):
    return ServedFolder(path)


def put(path, *names, data=b"data"):
    for name in names:
        (path / name).write_bytes(data)


def names_of(listing):
    files, _more = listing
    return [one.name for one in files]


def content(folder, name):
    source = folder.open(name)
    try:
        return source.name, source.read(0, 1000)
    finally:
        source.close()


def refused(folder, name):
    with pytest.raises(FileNotFoundError) as error:
        folder.open(name)
    assert str(folder.path) not in str(error.value)
    return True


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A folder of one good file, with ways to a secret all around it."""
    beside = tmp_path_factory.mktemp("beside")
    put(beside, "secret.txt", data=SECRET)
    path = beside / "given"
    path.mkdir()
    put(path, ".secret.txt", data=SECRET)
    (path / "s").symlink_to("../secret.txt")
    put(path, "e", data=b"good")
    return ServedFolder(path)


# --- listing


def test_a_file_is_listed_with_its_size_and_time(path, folder):
    put(path, "report.pdf", data=b"12345")
    os.utime(path / "report.pdf", (5, 1_000_000.5))
    assert folder.list() == ([ServedFile("report.pdf", 5, 1_000_000.5)], 0)


def test_the_newest_comes_first_then_the_name_counts(path, folder):
    for name, modified in (("old", 1), ("b", 2), ("a", 2), ("new", 3)):
        put(path, name)
        os.utime(path / name, (modified, modified))
    assert names_of(folder.list()) == ["new", "a", "b", "old"]
    files, more = folder.list(most=2)
    assert ([one.name for one in files], more) == (["new", "a"], 2)


def test_fifty_are_listed_by_default_and_the_rest_is_counted(path, folder):
    put(path, *(f"{number:03}" for number in range(MOST_LISTED + 7)))
    files, more = folder.list()
    assert (len(files), more) == (MOST_LISTED, 7)


def test_only_regular_files_directly_in_the_folder_are_listed(path, folder):
    fill_with_others(path)
    put(path, "good.txt")
    assert names_of(folder.list()) == ["good.txt"]


@pytest.mark.parametrize(
    "name",
    [
        ".hidden",
        "new\nline",
        "tab\tin it",
        "\x1b[31mred",
        "\x7f",
        "\x85",
        "gpj.\u202eexe",
        "zero\u200bwidth",
        "line\u2028separator",
        b"latin-\xe4.txt",
        "\ufffe",
        "   ",
        "\u3000",
    ],
)
def test_names_that_are_hidden_or_no_line_can_show_are_not_served(path, folder, name):
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    put(path, name)
    assert folder.list() == ([], 0)
    assert refused(folder, name)


@pytest.mark.parametrize(
    "name",
    [
        "Grüße aus Köln.jpg",
        "写真.jpg",
        "\U0001f431.png",
        "a\u00a0b.txt",
        "5.23\u202fPM.png",
        "-rf",
        "a\\b",
        "'quoted'",
        "*?[x].txt",
        "trailing ",
        "x" * 255,
    ],
)
def test_other_names_are_served(path, folder, name):
    put(path, name, data=b"this")
    assert names_of(folder.list()) == [name]
    assert content(folder, name) == (name, b"this")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (None, {"Plan.PDF", "plan b.txt", "photo.png", "[1].txt"}),
        ("", {"Plan.PDF", "plan b.txt", "photo.png", "[1].txt"}),
        ("plan", {"Plan.PDF", "plan b.txt"}),
        ("PLAN B", {"plan b.txt"}),
        ("*.pdf", {"Plan.PDF"}),
        ("p*.p*", {"Plan.PDF", "photo.png"}),
        ("p?an*", {"Plan.PDF", "plan b.txt"}),
        ("[!p]*", {"[1].txt"}),
        ("[[]1*", {"[1].txt"}),
        ("[", set()),
        ("*[", set()),
        ("pdf?", set()),
        ("[z-a]*", set()),
        (".", {"Plan.PDF", "plan b.txt", "photo.png", "[1].txt"}),
        ("../*", set()),
        ("/", set()),
        ("x" * 300, set()),
        ("*" * 300, set()),
    ],
)
def test_a_pattern_chooses(path, folder, pattern, found):
    put(path, "Plan.PDF", "plan b.txt", "photo.png", "[1].txt")
    files, more = folder.list(pattern)
    assert ({one.name for one in files}, more) == (found, 0)


def test_a_pattern_does_not_care_for_the_form_of_unicode(path, folder):
    name = "Ärger.txt"
    put(path, unicodedata.normalize("NFD", name))
    assert len(folder.list("ärger")[0]) == len(folder.list("ä*")[0]) == 1


@pytest.mark.parametrize("part", ["*a", "*?", "*[ab]", "?*"])
def test_a_pattern_of_many_stars_costs_no_more_than_others(path, folder, part):
    put(path, "a" * 250)
    pattern = part * (240 // len(part)) + "b"
    began = time.process_time()
    assert folder.list(pattern) == ([], 0)
    assert time.process_time() - began < 1


@GENERATED
@given(pattern=st.text(st.sampled_from("aB*?[]!-.\\|&^~"), max_size=12))
@example(pattern="[b-a]")
@example(pattern="[!")
@example(pattern="[a&&b]")
def test_every_pattern_can_be_asked_for(pattern):
    matches = served_folder._matcher(pattern)
    assert matches("ab.") in {True, False}


def test_what_a_listing_takes_does_not_grow_with_the_folder(path, folder):
    peaks = []
    for count in (500, 5000):
        for number in range(count):
            put(path, "first") if number == 0 else link(path / "first", path / f"{count} {number}")
        tracemalloc.start()
        files, more = folder.list(most=5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(files) + more >= count
    assert peaks[1] < peaks[0] + 10_000


def test_what_goes_away_during_a_listing_is_not_listed(path, folder, monkeypatch):
    put(path, "stays")
    monkeypatch.setattr(served_folder, "_served_names", lambda _folder: iter(["went", "stays"]))
    assert names_of(folder.list()) == ["stays"]


# --- opening


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../secret.txt",
        "sub/inner.txt",
        "./good.txt",
        "good.txt/",
        "/etc/passwd",
        "good.txt\0",
        "\0",
        '"../secret.txt"',
        '".hidden"',
        '""',
        '"',
        "..\\secret.txt",
        "x" * 10_000,
        "\U0001f431" * 100,
        "\ud800",
        "no such file",
    ],
)
def test_only_a_file_of_the_folder_can_be_opened(path, folder, name):
    put(path, "good.txt", ".hidden")
    (path / "sub").mkdir()
    put(path / "sub", "inner.txt")
    assert refused(folder, name)


def test_only_regular_files_are_opened(path, folder):
    for name in fill_with_others(path):
        assert refused(folder, name)
    assert descriptors_in(path) == []


def fill_with_others(path):
    """Put everything into a folder that is not a regular file, or is hidden."""
    put(path, ".hidden")
    (path / "folder").mkdir()
    (path / "link").symlink_to("../secret.txt")
    (path / "link to a folder").symlink_to("..")
    (path / "dangling").symlink_to("nowhere")
    (path / "device").symlink_to("/dev/zero")
    os.mkfifo(path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        # A socket's whole path has 107 bytes at most.
        before = os.open(".", os.O_RDONLY)
        os.chdir(path)
        try:
            listening.bind("socket")
        finally:
            os.fchdir(before)
            os.close(before)
    return sorted(one.name for one in path.iterdir())


@pytest.mark.parametrize("other", ["link", "folder", "fifo", "nothing"])
def test_a_file_that_is_replaced_after_the_look_at_it_is_not_given(
    path, folder, monkeypatch, other
):
    put(path, "good.txt")

    def open_late(*args, **options):
        (path / "good.txt").unlink()
        if other == "link":
            (path / "good.txt").symlink_to("../secret.txt")
        elif other == "folder":
            (path / "good.txt").mkdir()
        elif other == "fifo":
            os.mkfifo(path / "good.txt")
        return SourceFile(*args, **options)

    monkeypatch.setattr(served_folder, "SourceFile", open_late)
    assert refused(folder, "good.txt")
    assert descriptors_in(path) == []


@pytest.mark.parametrize(
    "asked",
    [
        "Report 1.pdf",
        "report 1.PDF",
        '"Report 1.pdf"',
        "'report 1.pdf'",
        "“Report 1.pdf”",
        "„Report 1.pdf“",
        "«report 1.pdf»",
        " Report 1.pdf\n",
        ' "Report 1.pdf" ',
        "Report\u00a01.pdf",
        "Report  1.pdf",
    ],
)
def test_a_name_may_be_written_as_people_do(path, folder, asked):
    put(path, "Report 1.pdf", "other.pdf")
    assert content(folder, asked)[0] == "Report 1.pdf"


def test_a_name_may_be_of_another_form_of_unicode(path, folder):
    name = unicodedata.normalize("NFD", "Ärger.txt")
    put(path, name)
    assert content(folder, "ärger.TXT")[0] == name


def test_the_exact_name_is_preferred(path, folder):
    for name in ("a.txt", "A.txt", '"a.txt"'):
        put(path, name, data=name.encode())
    for name in ("a.txt", "A.txt", '"a.txt"'):
        assert content(folder, name) == (name, name.encode())


def test_a_name_that_is_like_those_of_two_files_opens_neither(path, folder):
    put(path, "a.txt", "A.txt")
    assert refused(folder, '"A.TXT"')


def test_a_name_is_not_asked_for_as_a_pattern(path, folder):
    put(path, "a.txt")
    assert refused(folder, "*")
    assert refused(folder, "a.tx")


@GENERATED
@given(name=st.text(max_size=20) | st.text(st.sampled_from("./\\~ \0\"'secrtx"), max_size=20))
@example(name="../secret.txt")
def test_no_name_leads_out_of_the_folder(guarded, name):
    try:
        source = guarded.open(name)
    except FileNotFoundError:
        return
    assert source.read(0, 10) == b"good"
    source.close()


@GENERATED
@given(name=st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=40))
def test_what_is_listed_can_be_opened_and_nothing_else(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("given")
    try:
        put(path, name)
    except (OSError, UnicodeEncodeError):  # no file has such a name
        return
    folder = ServedFolder(path)
    listed = names_of(folder.list())
    assert listed in ([], [name])
    if listed:
        assert content(folder, name)[0] == name
        assert name in names_of(folder.list("*"))
    else:
        assert refused(folder, name)


# --- the folder


def test_the_folder_may_be_a_link_which_is_followed_at_each_use(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        put(tmp_path / name, f"{name}.txt")
    link = tmp_path / "now"
    link.symlink_to("one")
    folder = ServedFolder(link)
    assert names_of(folder.list()) == ["one.txt"]
    link.unlink()
    link.symlink_to("two")
    assert names_of(folder.list()) == ["two.txt"]
    assert content(folder, "two.txt")[0] == "two.txt"


@pytest.mark.parametrize("what", ["nothing", "a file"])
def test_a_folder_that_is_not_there_is_told_without_its_path(tmp_path, what):
    path = tmp_path / "gone"
    if what == "a file":
        path.write_bytes(b"")
    folder = ServedFolder(str(path))
    for use in (folder.list, lambda: folder.open("a")):
        with pytest.raises(OSError, match="can't be read") as error:
            use()
        assert not isinstance(error.value, FileNotFoundError)
        assert "/" not in error.value.strerror
        assert str(path) not in str(error.value)
        assert error.value.__cause__.errno in {errno.ENOENT, errno.ENOTDIR}


def test_arguments_are_checked(folder):
    for call, name in (
        (lambda: ServedFolder(3), "path"),
        (lambda: folder.open(b"a"), "name"),
        (lambda: folder.list(3), "pattern"),
        (lambda: folder.list(most="3"), "most"),
    ):
        with pytest.raises(WrongType, match=f"^{name} must be"):
            call()
    with pytest.raises(ValueError, match="most must be at least 1"):
        folder.list(most=0)
