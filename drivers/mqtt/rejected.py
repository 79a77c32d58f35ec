"""What came on a topic of ours and could not become a value or an event. Pure, and bounded.

Repeats are one row. Of a message that may name a person only its shape is kept, and the same of one that is nobody's:
nobody knows what is in it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.mqtt.parse import masked
from drivers.rejecting import Unusable
from sitekeeper.model.clock import Micros

KEPT: Final = 200
"""Rows of one link; the one that was quiet for longest goes first."""
SHOWN_BYTES: Final = 120
"""Bytes of a payload that are kept."""
CODES: Final = (
    "not-json", "not-text", "too-large", "missing", "no-meaning", "out-of-range", "no-number", "retained", "nobody",
    "dropped",
)  # fmt: skip
"""All reasons; each has a remedy in `config/lang/*/mqtt.yaml`."""
LONGEST: Final = 200
"""Characters of a topic and of a reason that are kept."""


@dataclass(slots=True)
class Rejection:
    """Messages that were rejected alike; `why` and `first`, the bytes or their shape, are of the last one.

    Attributes:
        code: one of `CODES`.
        device: whose it would have been; empty if that is not known. subject: which point or field.
        since, last: monotonic times of the first and of the last.
    """

    topic: str
    code: str
    device: str
    subject: str
    why: str
    first: bytes
    since: Micros
    last: Micros
    times: int = 1


class Rejected:
    """The dead letters of one link.

    Attributes:
        total: messages, or parts of them, rejected since the start. forgotten: rows that had to go.
    """

    def __init__(self, hidden: Callable[[str], bool]) -> None:
        self.total = 0
        self.forgotten = 0
        self._dropped = 0
        self._hidden = hidden
        self._rows: OrderedDict[tuple[str, str, str, str], Rejection] = OrderedDict()

    def note(
        self, topic: str, payload: bytes, code: str, why: str, now: Micros, *, device: str = "", subject: str = ""
    ) -> None:
        self.total += 1
        hide = not device or self._hidden(topic)  # by the whole topic: what is left of it may be nobody's
        topic, why = topic[:LONGEST], why[:LONGEST]
        first = masked(payload, SHOWN_BYTES) if hide else bytes(payload[:SHOWN_BYTES])
        row = self._rows.pop((topic, code, device, subject), None)
        if row is None:
            row = Rejection(topic, code, device, subject, why, first, now, now)
        else:
            row.why, row.first, row.last, row.times = why, first, now, row.times + 1
        self._rows[topic, code, device, subject] = row
        if len(self._rows) > KEPT:
            self._rows.popitem(last=False)
            self.forgotten += 1

    def dropped(self, so_far: int, now: Micros) -> None:
        """Take note of how many messages this connection has dropped so far, whatever they were."""
        more = so_far if so_far < self._dropped else so_far - self._dropped  # fewer: the connection is a new one
        self._dropped = so_far
        if more:
            self.note("", b"", "dropped", "more came at once than could wait to be taken", now)
            self.total += more - 1
            self._rows["", "dropped", "", ""].times += more - 1

    def rows(self) -> list[Rejection]:
        """Return them, the last one first."""
        return list(reversed(self._rows.values()))

    def told(self) -> list[Unusable]:
        """Return them for people, the last one first."""
        return [
            {
                "topic": _printable(row.topic),
                "reason": row.code,
                "device": row.device,
                "why": _printable(
                    f"{row.subject}: {row.why}" if row.subject and row.subject not in row.why else row.why
                ),
                "times": row.times,
                "first": _printable(row.first.decode(errors="replace")),
                "since": row.since,
                "last": row.last,
            }
            for row in self.rows()
        ]


def _printable(said: str) -> str:
    """Return it without what would command a terminal."""
    return "".join(each if each.isprintable() else "." for each in said)
