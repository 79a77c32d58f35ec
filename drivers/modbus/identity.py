"""What a unit says that it is: functions 43/14 and 17, asked one at a time and never again where they are not welcome.

Some servers keep silent to functions that they do not have, and to everything else from then on until the connection
is opened anew. So it is written down before a function is asked for the first time that it is not to be asked again,
and struck out when an answer came. Pure.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from drivers.modbus.reply import DEVICE_ID, REPORT_ID
from drivers.modbus.request import Question, device_id, report_id
from sitekeeper.model.clock import SECOND, Micros

Step = Literal["basic", "regular", "report"]

AFTER: Final[Micros] = 10 * SECOND
"""How long a link has been open before anybody is asked what he is."""
APART: Final[Micros] = SECOND
APART_SERIAL: Final[Micros] = 60 * SECOND
"""From one such question on a link to the next; on a serial line, an unwelcome one costs all units seconds."""
SHARE: Final = 20
"""At least so many times as long as a question took, the link belongs to the readings again."""

_NAMES: Final = {
    0: "vendor", 1: "product", 2: "version", 3: "vendor_url", 4: "product_name", 5: "model", 6: "application",
}  # fmt: skip
"""Object ids (MODBUS Application Protocol V1.1b3, 6.21, table of object ids)."""

_ILLEGAL_FUNCTION: Final = 1

_FUNCTION: Final[dict[Step, int]] = {"basic": DEVICE_ID, "regular": DEVICE_ID, "report": REPORT_ID}

_MOST, _LONGEST, _ROUNDS = 16, 64, 8
"""Objects, characters of each, and continued answers that are taken."""


@dataclass(slots=True)
class Identity:
    """What is known of one unit.

    Attributes:
        objects: by name, as texts. known: of an earlier connection, to compare with.
        never: functions not to be asked. banned: those of them that were so before this connection.
        welcome: those that were answered before.
        steps: what is still to be asked on this connection.
    """

    objects: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    never: set[int] = field(default_factory=set)
    banned: set[int] = field(default_factory=set)
    welcome: set[int] = field(default_factory=set)
    steps: list[tuple[Step, int]] = field(default_factory=list)
    rounds: int = 0

    def opened(self) -> None:
        """Ask anew: another device may be there."""
        self.known = self.known | self.objects
        self.objects, self.rounds, self.banned = {}, 0, set(self.never)
        self.steps = [("basic", 0), ("report", 0)]

    def restore(self, known: dict[str, str], never: set[int]) -> None:
        """Take up what was known before a restart."""
        self.known, self.never = known, never
        self.welcome = {REPORT_ID if name == "report" else DEVICE_ID for name in known} - never

    def next(self, unit: int) -> tuple[int, Question] | None:
        """Return the function and the question to ask next; None: there is none."""
        while self.steps:
            step, first = self.steps[0]
            function = _FUNCTION[step]
            if function not in self.never:
                asked = report_id(unit) if step == "report" else device_id(unit, 1 if step == "basic" else 2, first)
                return function, asked
            del self.steps[0]
        return None

    def refused(self, code: int = 0) -> None:
        """The question that `next` told was refused (by which exception) or not answered (0).

        Its function is never asked again; one that was answered before, only if the unit says that it has none.
        """
        step, _ = self.steps.pop(0)
        if step == "regular":
            return  # the function is welcome, its level is not
        if _FUNCTION[step] not in self.welcome or code == _ILLEGAL_FUNCTION:
            self.never.add(_FUNCTION[step])

    def answered(self, data: bytes) -> None:
        """Take the answer: what follows the byte count, or the type of 43/14."""
        step, _ = self.steps.pop(0)
        self.never.discard(_FUNCTION[step])
        self.welcome.add(_FUNCTION[step])
        if step == "report":
            self.objects["report"] = _report(data)
            return
        conformity, more, following, count = data[1], data[2], data[3], data[4]
        self._take(data[5:], count)
        self.rounds += 1
        if more == 0xFF and self.rounds < _ROUNDS:
            self.steps.insert(0, (step, following))
        elif step == "basic" and conformity & 0x7F >= 2:
            self.steps.insert(0, ("regular", 3))

    def _take(self, objects: bytes, count: int) -> None:
        at = 0
        for _ in range(count):
            number, size = objects[at], objects[at + 1]
            if len(self.objects) < _MOST:
                self.objects[_NAMES.get(number, f"object_{number}")] = _text(objects[at + 2 : at + 2 + size])
            at += 2 + size

    def changed(self) -> bool:
        """Tell whether all has been asked and another device has answered than before, as far as both have said."""
        return not self.steps and any(self.known.get(name, text) != text for name, text in self.objects.items())

    def replaced(self) -> None:
        """It is another device: only what was heard on this connection holds."""
        self.known = dict(self.objects)
        self.never -= self.banned
        self.welcome = {REPORT_ID if name == "report" else DEVICE_ID for name in self.objects}


def _report(data: bytes) -> str:
    """Return what function 17 says: mostly a number of the maker's, whether the device runs (00 or FF), and words."""
    numbered = len(data) > 2 and data[1] in {0, 0xFF}
    words = _text(data[2 if numbered else 0 :].strip(b"\x00\xff"))
    return f"{data[0]} {words}" if numbered else words


def _text(data: bytes) -> str:
    """Return bytes as people read them: the text, or what is not printable in hex."""
    text = data.decode("utf-8", "replace").strip("\x00 ")
    return text[:_LONGEST] if text.isprintable() and "\ufffd" not in text else data[: _LONGEST // 2].hex()
