"""What comes from a network, in pieces of any size."""

from __future__ import annotations

from hypothesis import strategies as st

SIZES = (1, 2, 3, 7, 10_000_000)


def pieces(data, size):
    """Cut bytes into pieces of one size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def cut(data, cuts):
    """Cut bytes at some of their positions; what is out of range counts from the start again."""
    positions = sorted({position % (len(data) + 1) for position in cuts})
    return [data[start:end] for start, end in zip([0, *positions], [*positions, None], strict=True)]


CUTS = st.lists(st.integers(0, 10_000), max_size=8)
