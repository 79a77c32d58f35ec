"""What a row of the table of promises is, and how rows become a table."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
Three = Sequence[float]
"""Median, lowest, highest."""


def row(promise: str, figure: str, measured: str, reached: bool | None, *, base: str = "", ratio: str = "") -> Row:
    """Return one row; `reached` None is a figure to be read, with nothing promised."""
    return {
        "promise": promise,
        "figure": figure,
        "measured": measured,
        "baseline": base,
        "ratio": ratio,
        "reached": reached,
    }


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; what is not reached says so."""
    words = {True: "yes", False: "**NO**", None: "-"}
    lines = [
        "| Promise | Figure to reach | Measured (of 5 runs: lowest to highest) | Baseline | Ratio | Reached |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        cells = (one["promise"], one["figure"], one["measured"], one["baseline"], one["ratio"], words[one["reached"]])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(values: Three, form: str = ",.3g", unit: str = "") -> str:
    """Return `median (lowest to highest)`."""
    middle, low, high = (format(value, form) for value in values)
    return f"{middle}{unit} ({low} to {high})"
