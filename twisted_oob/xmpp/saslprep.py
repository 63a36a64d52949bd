"""SASLprep: names and passwords that look the same become the same (RFC 4013).

A client prepares a *query* string: a character that Unicode 3.2 does not know, such as an emoji or
a capital sharp s, passes as it is (RFC 4013 section 2.5, RFC 3454 section 7). Only who stores a
password must refuse it.
"""

from __future__ import annotations

import stringprep
from typing import Final
from unicodedata import ucd_3_2_0

# RFC 4013 section 2.3, without C.1.2, which is mapped before, and without A.1, the characters that
# are not assigned.
_PROHIBITED: Final = (
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Prepare a name or a password for a login.

    Args:
        text: Any string.

    Returns:
        The prepared string, which may be empty.

    Raises:
        ValueError: It has a prohibited character, or mixes directions of writing as RFC 3454
            section 6 forbids. The message does not show the text, which may be a password.
    """
    # U+200B is in both tables, and RFC 4013 does not say which one counts.
    visible = (char for char in text if not stringprep.in_table_b1(char))
    mapped = "".join(" " if stringprep.in_table_c12(char) else char for char in visible)
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    if any(in_table(char) for char in prepared for in_table in _PROHIBITED):
        raise ValueError("it has a character that SASLprep prohibits")
    right_to_left = [stringprep.in_table_d1(char) for char in prepared]
    if any(right_to_left) and (
        any(map(stringprep.in_table_d2, prepared)) or not (right_to_left[0] and right_to_left[-1])
    ):
        raise ValueError("it mixes directions of writing")
    return prepared
