"""The plot of the part pending; it needs matplotlib."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from benchmarks.contenders import CONTENDERS, OURS


def draw(figures: dict[str, Any], path: str) -> None:
    """Draw CPU per exchange over pending requests, as a PNG."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for contender in CONTENDERS:
        points = [
            (column["count"], row["microseconds"])
            for column in figures["asking"]
            for row in column["rows"]
            if row["name"] == contender.name and row["microseconds"] is not None
        ]
        if points:
            width = 3 if contender.name == OURS else 1.2
            axes.plot(
                *zip(*points, strict=True),
                "o-",
                label=contender.name,
                linewidth=width,
                zorder=width,
            )
    axes.set(
        title="Asking: CPU time of one exchange",
        xlabel="requests pending",
        ylabel="µs",
        xscale="log",
        yscale="log",
    )
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(path, format="png", dpi=110)
