"""URLs in running text, as people write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_oob._urls import MAX_URL_LENGTH, to_uri
from twisted_oob.protocol.text_urls import MAX_TEXT_LENGTH, MAX_URLS, urls_in

A, B = "https://h.example/a.pdf", "http://h.example/b"

# A text, and the URLs in it.
TEXTS = {
    "alone": (A, [A]),
    "in a sentence": (f"the plan is at {A}, please keep it.", [A]),
    "at the end of a sentence": (f"Look at {A}.", [A]),
    "a question": (f"Have you seen {A}?", [A]),
    "three dots": (f"{A}... and one character: {A}\u2026", [A]),
    "a colon, a bang": (f"{A}: here! {B}!", [A, B]),
    "several in a line": (f"{A} {B} and {A}", [A, B]),
    "several lines": (f"{A}\n{B}\r\nbye", [A, B]),
    "a tab and a wide space": (f"{A}\tx\u3000{B}\u3000x", [A, B]),
    "a comma between": (f"{A},{B};{A}?2", [A, B, f"{A}?2"]),
    "a comma in it": ("https://h.example/1,2;3", ["https://h.example/1,2;3"]),
    "in brackets": (f"(see {A})", [A]),
    "in brackets with a full stop": (f"(see {A}.)", [A]),
    "brackets in it": ("(see https://h.example/a_(b).pdf)", ["https://h.example/a_(b).pdf"]),
    "brackets at its end": ("https://h.example/a_(b), yes", ["https://h.example/a_(b)"]),
    "brackets of other kinds": (f"[{A}] {{{B}}}", [A, B]),
    "square brackets in it": ("https://h.example/a[1].pdf", ["https://h.example/a%5B1%5D.pdf"]),
    "an open bracket at its end": (f"{A}(", [A]),
    "in angle brackets": (f"<{A}>", [A]),
    "a space in angle brackets": ("<https://h.example/x y>", ["https://h.example/x%20y"]),
    "the older form": (f"<URL:{A}>", [A]),
    "an angle bracket that stays open": (f"<{A} is good", [A]),
    "one in the other": (f"<{A} <{B}/c d>", [A, f"{B}/c%20d"]),
    "two in one": (f"<{A} {B}>", [A, B]),
    "Markdown": (f"[the plan]({A})", [A]),
    "Markdown with brackets": ("[x](https://h.example/a_(b)).", ["https://h.example/a_(b)"]),
    "Markdown, one at the other": (f"[x]({A})[y]({B})", [A, B]),
    "a URL as the text of a link": (f"[{A}]({A})", [A]),
    "HTML": (f'<a href="{A}">x</a>', [A]),
    "code": (f"`{A}`", [A]),
    "a table": (f"|{A}|{B}|", [A, B]),
    "bold": (f"*{A}* **{B}**", [A, B]),
    "emphasis": (f"_{A}_ and ~{B}~.", [A, B]),
    "an underscore in it": ("_https://h.example/a_b", ["https://h.example/a_b"]),
    "an underscore at its end": ("https://h.example/a_", ["https://h.example/a_"]),
    "double quotes": (f'"{A}"', [A]),
    "single quotes": (f"'{A}'.", [A]),
    "an apostrophe in it": ("https://h.example/it's", ["https://h.example/it's"]),
    "typographic quotes": (f"\u201c{A}\u201d \u2018{B}\u2019", [A, B]),
    "German quotes": (f"\u201e{A}\u201c", [A]),
    "French quotes": ("\xabhttps://h.example/\xfc.pdf\xbb", ["https://h.example/%C3%BC.pdf"]),
    "a dash": (f"{A}\u2014please keep it", [A]),
    "Chinese": (f"\u8bf7\u770b{A}\uff0c\u8c22\u8c22\u3002{B}\u3002", [A, B]),
    "Japanese quotes": (f"\u300c{A}\u300d\uff08{B}\uff09", [A, B]),
    "Japanese, without a space": (f"{A}\u3092\u898b\u3066\u304f\u3060\u3055\u3044", [A]),
    "Thai, without a space": (f"\u0e14\u0e39{A}\u0e19\u0e30", [A]),
    "Chinese in it": (
        "https://h.example/\u8ba1\u5212.pdf",
        ["https://h.example/%E8%AE%A1%E5%88%92.pdf"],
    ),
    "an emoji behind it": (f"{A}\U0001f44d", [A]),
    "Arabic": (f"\u0627\u0646\u0638\u0631 {A}\u060c \u0648{B}\u061f", [A, B]),
    "marks of direction": (f"\u200f{A}\u200f \u2068{B}\u2069", [A, B]),
    "a joiner behind it": (f"{A}\u200d", [A]),
    "Hindi": (f"\u0926\u0947\u0916\u0947\u0902 {A}\u0964", [A]),
    "a Cyrillic word before it": (f"\u0444\u0430\u0439\u043b:{A}", [A]),
    "an international name": (
        "\u0441\u043c. https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444/a",
        ["https://xn--e1afmkfd.xn--p1ai/a"],
    ),
    "capitals": ("HTTPS://H.EXAMPLE/A", ["HTTPS://H.EXAMPLE/A"]),
    "without TLS": (f"look: {B}", [B]),
    "a port": ("https://h.example:8443/a", ["https://h.example:8443/a"]),
    "an IPv6 address": ("at https://[2001:db8::1]:80/a.", ["https://[2001:db8::1]:80/a"]),
    "an IPv6 address in brackets": ("[https://[::1]/a]", ["https://[::1]/a"]),
    "userinfo": ("https://u:p@h.example/a", ["https://u:p@h.example/a"]),
    "query and fragment": ("https://h.example/?a=b&c#d.", ["https://h.example/?a=b&c#d"]),
    "a URL in it": (f"https://h.example/?u={B}", [f"https://h.example/?u={B}"]),
    "percent-encoded": ("https://h.example/%c3%bc", ["https://h.example/%c3%bc"]),
    "a percent sign": ("https://h.example/100%", ["https://h.example/100%25"]),
    "only a host": ("https://h.example.", ["https://h.example"]),
    "a label before it": (f"URL:{A}", [A]),
    "a dash before it": (f"-{A}", [A]),
    "after a quote": (f"> {A}\n{B}", [B]),
    "not at the line's beginning": (f"a > {A}", [A]),
    # What is no URL.
    "nothing": ("", []),
    "no host": ("http:// https://. https://... http:///a https://:80/", []),
    "a longer scheme": (f"x{A} 1{A} git+{A}", []),
    "another scheme": ("ftp://h.example/a mailto:a@h.example xmpp:a@h.example", []),
    "no scheme": ("www.h.example h.example/a //h.example/a", []),
    "one slash": ("https:/h.example/a", []),
    "a placeholder": ("https://{host}/a https://<host>/a", []),
    "no address": ("https://[h.example]/a https://[::g]/", []),
    "too long": (f"https://h.example/{'a' * MAX_URL_LENGTH}", []),
    "a quote": (f">{A}\n>> {B}\n> x", []),
    "too far behind": (f"{' ' * MAX_TEXT_LENGTH}{A}", []),
}


@pytest.mark.parametrize(("text", "found"), TEXTS.values(), ids=TEXTS)
def test_urls_in_a_text(text, found):
    assert urls_in(text) == found


# What surrounds a URL in a text without changing it: before and after.
AROUND = [
    ("", ""),
    ("see ", ", please"),
    ("(", ")"),
    ("<", ">"),
    ("[x](", ")."),
    ("\u300c", "\u300d\u3002"),
    ("\xab", "\xbb"),
    ('"', '"!'),
    ("\n", "\n"),
    ("*", "*"),
    ("\u200f", "\u060c"),
]
PARTS = st.text("abcXYZ019-~$&+=%\u00fc\u8a08(", min_size=1, max_size=8).filter(
    lambda part: part.count("(") == 0
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(AROUND), st.lists(PARTS, max_size=3)), min_size=1),
)
def test_each_url_is_found_in_whatever_surrounds_it(pieces):
    text, wanted = "", []
    for (before, after), parts in pieces:
        url = "https://h.example/" + "/".join([*parts, "f.txt"])
        text += f" {before}{url}{after}"
        wanted.append(to_uri(url))
    assert urls_in(text) == list(dict.fromkeys(wanted))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(["http://", "https://h", "(", ")", "[", "<", ">", " ", "\u00fc"])))
def test_no_text_makes_it_fail(pieces):
    for url in urls_in("".join(pieces)):
        assert to_uri(url) == url


@settings(deadline=None, max_examples=80)
@given(st.text())
def test_no_unicode_makes_it_fail(text):
    urls_in(f"https://{text}")
    urls_in(f"https://h/{text}")


HOSTILE = {
    "schemes": "http://",
    "schemes in angle brackets": "<http://",
    "schemes in angle brackets, with spaces": "<http://a ",
    "brackets": "https://h/((((((",
    "closing brackets": "http://h)",
    "commas": "http://h,",
    "the older form": "<URL:http://a",
    "extensions": "http://h/a.b\u8a08",
    "marks": "http://h/a" + "." * 50,
    "words that begin one": "h",
    "international names": "http://\u00fc ",
    "long international names": f"http://{''.join(map(chr, range(0x4E00, 0x9E00, 82)))} ",
    "many URLs": "http://h ",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(piece):
    text = piece * (MAX_TEXT_LENGTH // len(piece))
    began = time.process_time()
    urls_in(text)
    # Quadratic, each takes more than a second.
    assert time.process_time() - began < 0.5


def test_of_too_many_urls_the_first_are_found():
    assert urls_in("".join(f"http://h/{n} " for n in range(2000))) == [
        f"http://h/{n}" for n in range(MAX_URLS)
    ]


def test_one_url_of_any_characters_costs_no_more_than_its_length():
    for character in "a.)]'*_~\u2026%(":
        began = time.process_time()
        urls_in(f"*https://h/{character * MAX_TEXT_LENGTH}")
        assert time.process_time() - began < 0.5
