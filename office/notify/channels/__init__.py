"""What a channel is: it takes one message and says what became of it. It never retries and never raises for trouble."""

from typing import Literal, Protocol

import msgspec

from sitekeeper.model.clock import Micros

Outcome = Literal["accepted", "failed", "unknown"]
"""`failed`: surely not accepted. `unknown`: the request may have arrived and the answer was lost."""

MAX_ANSWER = 200
"""Characters of a provider's answer that are kept."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One annunciation in a channel's language, with what machines need beside it.

    Attributes:
        title: one line whose first 40 characters carry severity, what and where.
        body: lines for a person; at most 2,048 bytes together with the title.
        at: wall time of the move. values: inputs of the rule in plain types.
        possible_repeat: an earlier attempt with the same event id may have arrived.
    """

    event_id: str
    occurrence: str
    site: str
    device: str
    rule: str
    priority: str
    cause: str
    at: Micros
    title: str
    body: str
    values: dict[str, bool | int | float | str | None]
    attempt: int = 1
    possible_repeat: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What became of one attempt, in the provider's words."""

    outcome: Outcome
    text: str = ""


class Channel(Protocol):
    """A way to people."""

    @property
    def recipient(self) -> str:
        """Whom it reaches, without secrets; stands in every row of the push log."""

    async def send(self, message: Message) -> Answer:
        """Try once, within the channel's own timeout."""

    async def close(self) -> None:
        """Give back what it holds."""


def shorten(text: str) -> str:
    """Return an answer fit for a row: one line, no control characters, bounded."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_ANSWER else line[: MAX_ANSWER - 1] + "…"
