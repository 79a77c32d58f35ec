"""What the commands of `sk discover` share: to say beforehand what is sent, and afterwards what is wrong."""

import re
from collections.abc import Sequence

import click

from edge.cli.client import ask, one, socket_path
from edge.discover.steps import Step, total
from sitekeeper.control import ControlError, Problem
from sitekeeper.texts import text


def announce(steps: Sequence[Step], lang: str) -> None:
    """Say what is going to be sent and how long it takes at most, on stderr."""
    click.echo(text("discover.plan", lang, seconds=_round(total(steps))), err=True)
    for step in steps:
        said = text(f"discover.step.{step.code}", lang, **({"seconds": _round(step.seconds)} | step.values))
        click.echo(f"  - {said}", err=True)


def _round(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


def complain(problems: Sequence[Problem], lang: str) -> None:
    """Print what is wrong and what to do next, on stderr."""
    for problem in problems:
        click.echo(f"{problem.code}: {problem.message}", err=True)
        if problem.hint:
            click.echo(f"  {text('cli.word.try', lang)} {problem.hint}", err=True)


def endpoints_of_gateway(socket_: str | None) -> dict[str, str]:
    """Return by endpoint, `10.1.3.41:502`, the link on which a running gateway has it open; nothing without one."""
    path, found = socket_path(socket_), dict[str, str]()
    try:
        first = {row["link"]: row["id"] for row in ask(path, "device.list")}
        for link, device in first.items():
            where = str(one(path, "device.show", {"id": device})["endpoint"]).partition(" unit ")[0]
            found[where if ":" in where or where.startswith("/") else f"{where}:502"] = link
    except ControlError:
        return found  # none runs here, or it is not ours to ask: it cannot be told what it has open
    return found


def count_range(written: str, largest: int) -> tuple[int, int]:
    """Return both ends of `1-247`, `1..247` or `7`.

    Raises:
        ValueError: not numbers in rising order up to `largest`.
    """
    match = re.fullmatch(r"(\d{1,7})(?:(?:-|\.\.)(\d{1,7}))?", written)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not low <= high <= largest:
        raise ValueError(f"{written!r} is not a range of numbers up to {largest}; write LOW-HIGH")
    return low, high
