"""The journal: what the simulated devices truly said, one JSON line a time, written before the reply leaves.

Lines, by their keys (`t` is wall time in microseconds):
    {t, device, n, points}           a reply: its serial number (absent if the reply did not carry it) and the decoded
                                     values by name that differ from the device's last such line; all in the first
    {t, device, n, points, fault}    the same, disturbed on the way (`late`, `split`, `garbage`): perhaps believed and
                                     perhaps not, so the next sound line repeats its changes
    {t, device, n, fault}            a reply spoilt on purpose: none of it may be believed; `freeze` repeats an old n
    {t, device, fact, ...}           what happened in truth; further keys are particulars, times are wall times
    {t, device or link, switched}    a fault switched on, or off (`none`)
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value


class Journal:
    """Writes lines; remembers per device what was last said soundly."""

    def __init__(self, write: Callable[[bytes], object], close: Callable[[], None] = lambda: None) -> None:
        self._write = write
        self.close = close
        self._said: dict[str, dict[str, Value]] = {}

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Append to the file at `path`, each line in one write without buffering; None keeps no journal."""
        if path is None:
            return cls(lambda _line: None)
        file = path.open("ab", buffering=0)
        return cls(file.write, file.close)

    def reply(self, at: Micros, device: str, serial: int | None, points: Mapping[str, Value], fault: str = "") -> None:
        """Write down a reply; with a `fault` it is not what later lines are compared with."""
        said = self._said.setdefault(device, {})
        changed = {name: value for name, value in points.items() if name not in said or said[name] != value}
        if not fault:
            said |= changed
        line: dict[str, object] = {"t": at, "device": device}
        if serial is not None:
            line["n"] = serial
        self._line({**line, "points": changed, **({"fault": fault} if fault else {})})

    def spoilt(self, at: Micros, device: str, serial: int | None, fault: str) -> None:
        """Write down a reply that was spoilt on purpose."""
        self._line({"t": at, "device": device, **({} if serial is None else {"n": serial}), "fault": fault})

    def fact(self, at: Micros, device: str, fact: str, more: Mapping[str, object]) -> None:
        """Write down what happened in truth."""
        self._line({"t": at, "device": device, "fact": fact, **more})

    def switched(self, at: Micros, place: str, name: str, fault: str) -> None:
        """Write down that a fault was switched; `place` is `device` or `link`, `name` its id."""
        self._line({"t": at, place: name, "switched": fault})

    def _line(self, line: Mapping[str, object]) -> None:
        self._write(msgspec.json.encode(line) + b"\n")
