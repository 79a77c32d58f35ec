"""The journal: what the simulated devices truly said, one JSON line a time, written before the reply leaves.

Lines, by their keys (`t` is wall time in microseconds):
    {t, device, n, points}           a reply: its serial number (absent if the reply did not carry it) and the decoded
                                     values by name that differ from the device's last such line; all in the first
    {t, device, n, points, fault}    the same, disturbed on the way (`late`, `split`, `garbage`): perhaps believed and
                                     perhaps not, so the next sound line repeats its changes
    {t, device, n, fault}            a reply spoilt on purpose: none of it may be believed; `freeze` repeats an old n
    {t, device, wrote, ...}          a write that was carried out: values by name; on BACnet with its priority, and null
                                     where the command was given up
    {t, device, refused, code}       a write that the device refused, and its exception code
    {t, device, controller, run, event}  what a door controller has recorded, when it happened, whenever it is told;
                                     `run` counts the beginnings of its counter; its own events have no device
    {t, device, fact, ...}           what happened in truth; further keys are particulars, times are wall times; what
                                     happened to a door controller has `controller` in place of `device`
    {t, device, switched}            a fault switched on, or off (`none`); also with `controller` or `link`
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

    def wrote(self, at: Micros, device: str, values: Mapping[str, Value], priority: int | None = None) -> None:
        """Write down a write that was carried out."""
        more = {} if priority is None else {"priority": priority}
        self._line({"t": at, "device": device, "wrote": values, **more})

    def refused(self, at: Micros, device: str, values: Mapping[str, Value], code: int) -> None:
        """Write down a write that the device refused."""
        self._line({"t": at, "device": device, "refused": values, "code": code})

    def event(self, at: Micros, device: str, controller: str, run: int, event: Mapping[str, object]) -> None:
        """Write down what a controller has recorded; `device` is empty for what concerns no door."""
        place = {"device": device} if device else {}
        self._line({"t": at, **place, "controller": controller, "run": run, "event": event})

    def of_controller(self, at: Micros, controller: str, fact: str, more: Mapping[str, object]) -> None:
        """Write down what happened in truth to a door controller."""
        self._line({"t": at, "controller": controller, "fact": fact, **more})

    def switched(self, at: Micros, place: str, name: str, fault: str) -> None:
        """Write down that a fault was switched; `place` is `device`, `controller` or `link`, `name` its id."""
        self._line({"t": at, place: name, "switched": fault})

    def _line(self, line: Mapping[str, object]) -> None:
        self._write(msgspec.json.encode(line) + b"\n")
