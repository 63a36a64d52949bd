"""What works with what, as a table at the end of a run."""

from __future__ import annotations

from itertools import product

CELL = "cell of the interop matrix"
OUTCOMES = ("success", "not-found", "reject")
_COLUMNS = [
    *(("test_peer_receives", outcome) for outcome in OUTCOMES),
    *(("test_peer_sends", outcome) for outcome in OUTCOMES),
    ("test_peer_reads_our_features", None),
]
_ROW = "{:9} {:9} {:17}" + " {:>9}" * len(_COLUMNS)
_VERDICTS = {"passed": "ok", "skipped": "skipped", "failed": "FAILED", "error": "FAILED"}


def matrix(stats):
    """Give the lines of the table, if any of its tests ran; ``stats`` is pytest's."""
    cells = {}
    for verdict, text in _VERDICTS.items():
        for report in stats.get(verdict, ()):
            # What could not be collected has none.
            properties = getattr(report, "user_properties", ())
            for test, params in (value for name, value in properties if name == CELL):
                row = params["server"], params["mode"], params["running_peer"]
                cells[row, (test, params.get("outcome"))] = text
    if not cells:
        return
    yield ""
    yield _ROW.format("", "", "", "receives", "", "", "sends", "", "", "")
    yield _ROW.format("server", "ours", "peer", *OUTCOMES, *OUTCOMES, "disco")
    seen = [list(dict.fromkeys(row[i] for row, _ in cells)) for i in range(3)]
    for row in product(*seen):
        yield _ROW.format(*row, *(cells.get((row, column), "-") for column in _COLUMNS))
