"""What truly happened, and which alarm that calls for: from facts and from what was served, by no rule of ours.

It is imported by `oracle.py` beside it, which is the one to be run, and imports nothing of ours.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

if __package__:
    from .oracle_record import SECOND, Line
else:
    from oracle_record import SECOND, Line

Truth = tuple[str, str, int, int]
"""Rule, device, start, end."""

NEEDED = {
    "L01": 30 * SECOND, "L03": 3 * SECOND, "L04": 15 * SECOND, "L22": 3 * SECOND, "L09": 0, "L15": 60 * SECOND,
    "L05": 0, "L06": 0, "L10": SECOND // 2, "L11": SECOND, "L12": 0, "L13": 0, "L17": 5 * SECOND, "L20": 5 * SECOND,
    "L23": 2 * SECOND, "L26": 0, "L27": 60 * SECOND, "E01": 0, "E02": 0, "E03": 0, "E04": SECOND, "E07": 3 * SECOND,
    "H01": 5 * SECOND, "H02": 0, "H03": 5 * SECOND, "W01": 10 * SECOND, "W02": 60 * SECOND,
    "A01": 0, "A02": 30 * SECOND, "A05": 0, "A07": 0, "A08": 2 * SECOND, "A13": 0, "B04": 0, "B13-CABINET": 2 * SECOND,
    "F03": 5 * SECOND,
    "A03": 0, "A06": 0, "B01": 8 * SECOND, "B03": SECOND, "F01": 0, "F02": 0, "G01": 10 * SECOND,
}  # fmt: skip
"""How long the truth must last, known to the site, until the alarm is due (domain brief, 2.4, 3.3, 4.2, 5.3, 6; two
readings of a luminaire, one every 5 s)."""

PACKS = {"lift": "L", "access": "A", "parking": "B", "fire": "F", "lighting": "G", "gas": "H", "water": "W",
         "escalator": "E"}  # fmt: skip
"""With which letter the rules of a pack begin."""

FACTS: dict[str, tuple[str | None, str | None]] = {
    "released": (None, "L01"), "rescue begins": (None, "L04"),
    "arm broken": ("B03", None), "arm mended": (None, "B03"),
    "fire alarm": ("F01", None), "panel reset": (None, "F01"),
    "gas high": ("H02", None), "gas high over": (None, "H02"), "leak": ("W01", None), "leak over": (None, "W01"),
    "leak cable broken": ("W02", "W01"), "escalator reverse": ("E02", None), "escalator stop": (None, "E02"),
    "lamp failed": ("G01", None), "gear failed": ("G01", None), "lamp good": (None, "G01"),
    "reader opened": ("A08", None), "reader closed": (None, "A08"),
    "escalator overspeed": ("E01", None), "escalator missing step": ("E03", None), "escalator safety": ("E04", None),
    "escalator alarm": ("E07", None), "escalator alarm over": (None, "E07"),
    "gas detector fault": ("H03", None), "gas detector good": (None, "H03"),
}  # fmt: skip
"""Which rule a fact begins to call for, and for which it ceases to."""

FLAGS = {"unintended": "L09", "position_lost": "L17", "vibration": "L20", "ebike": "L23", "battery_low": "L27"}
"""Which rule a fault calls for that a lift reports of itself."""

ALSO = {"fire alarm": ("A13", True), "panel reset": ("A13", False), "leak over": ("W02", False),
        "escalator clear": ("E01", False), "followed through": ("A07", None)}  # fmt: skip
"""What a fact says beside that; None: it was so for a moment. The doors of a site are freed by its fire panel."""

CLEARED = ("E03", "E04")
"""What `escalator clear` ends besides."""

SHOWN = {"overspeed": "L10", "alarm_test_failed": "L26"}
SHOWN_IN_USE = {"fault_overrun_top": "L05", "fault_pit": "L06", "fault_safety_circuit": "L11",
                "fault_door_close": "L12", "fault_door_open": "L13"}  # fmt: skip
"""Which rule a bit calls for that a lift has served: always, or unless it is under inspection."""

REVERSALS, REVERSED_WITHIN = 3, 600 * SECOND
"""So many times within a time a boom must have met something."""

A_MOMENT = 5 * SECOND
"""How long after a thing of one moment its alarm may come."""
REFUSALS, WITHIN, QUIET = 5, 60 * SECOND, 300 * SECOND
"""So many refusals at one reader within a time are a burst; it is over when the door has refused nobody for long."""


BEFORE = {"A03": WITHIN}
"""How long before its beginning the site must have known the device, or it cannot know the truth: of a burst, all."""


class _Refusals:
    """The refusals of one door: tells its bursts."""

    def __init__(self) -> None:
        self._readers: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=REFUSALS))
        self._last = -QUIET
        self._burst = False

    def another(self, at: int, reader: str) -> bool:
        """Take a refusal; tell whether a burst begins with it."""
        self._burst = self._burst and at - self._last < QUIET
        self._last = at
        times = self._readers[reader]
        times.append(at)
        begins = not self._burst and len(times) == REFUSALS and at - times[0] <= WITHIN
        self._burst = self._burst or begins
        return begins


def truths(journal: list[Line]) -> Iterator[Truth]:
    """Yield what truly happened, in order of its beginning; what had no end goes on to the end of the journal."""
    lifts = {line["device"] for line in journal if "car_status" in line.get("points", ())}
    last = max((line["t"] for line in journal), default=0)
    begun: dict[tuple[str, str], int] = {}
    state: dict[str, dict[str, Any]] = defaultdict(dict)
    refusals: dict[str, _Refusals] = defaultdict(_Refusals)
    over: list[Truth] = []
    for line in journal:
        device, at = line.get("device", ""), line["t"]
        for rule, true in _called_for(line, state[device], lifts):
            if true is None:
                over.append((rule, device, at, at + A_MOMENT))
            elif true:
                begun.setdefault((rule, device), at)
            elif (rule, device) in begun:
                over.append((rule, device, begun.pop((rule, device)), at))
        event = line.get("event", {})
        if event.get("granted") is False and refusals[device].another(at, event.get("dir", "")):
            over.append(("A03", device, at, at + A_MOMENT))
        if event.get("kind") == "read" and event.get("reason") == 8:
            over.append(("A05", device, at, at + A_MOMENT))
        if event.get("duress"):
            over.append(("A06", device, at, at + A_MOMENT))
    over += [(rule, device, start, last) for (rule, device), start in begun.items()]
    yield from sorted(over, key=lambda truth: truth[2])


def _called_for(line: Line, state: dict[str, Any], lifts: set[str]) -> Iterator[tuple[str, bool | None]]:
    """Yield for which rules a line says that their condition is true now, or false; None: it was, for a moment."""
    fact = line.get("fact", "")
    if "trapped" in fact and not line.get("level"):
        yield "L01", True
    elif fact == "stuck" and not line.get("people"):
        yield "L04", True
    elif fact in {"mains failed", "mains restored"} and line["device"] in lifts:
        yield "L22", fact == "mains failed"
    elif fact == "door forced":
        yield "A01", None
    elif fact in {"lift fault", "lift fault gone"} and line.get("name") in FLAGS:
        yield FLAGS[line["name"]], fact == "lift fault"
    if fact in ALSO:
        yield ALSO[fact]
    if fact == "escalator clear":
        yield from ((rule, False) for rule in CLEARED)
    if fact == "obstacle":
        yield from _of_a_boom(line, state)
    begins, ends = FACTS.get(fact, (None, None))
    yield from ((rule, true) for rule, true in ((begins, True), (ends, False)) if rule is not None)
    if "points" in line and "fault" not in line:
        state |= line["points"]
        calling = state.get("passenger_alarm") and state.get("car_status") == "stopped" and state.get("door_closed")
        yield "L03", bool(calling)
        yield "B01", state.get("lane.state") == "opening"
        at_landing = state.get("door_zone") and state.get("door_closed") is False
        yield "L15", bool(at_landing) and state.get("service_mode") != "inspection"
        inspected = state.get("service_mode") == "inspection"
        yield from ((rule, bool(state.get(bit))) for bit, rule in SHOWN.items())
        yield from ((rule, bool(state.get(bit)) and not inspected) for bit, rule in SHOWN_IN_USE.items())
        yield "H01", bool(state.get("gas.al1")) and not state.get("gas.al2")
        if "lane.state" in state:
            yield "B13-CABINET", bool(state.get("cabinet.open")) or state.get("power") == "failed"
        if "fire.alarm" in state:
            broken = (state[name] for name in state if name.startswith("line."))
            yield "F03", bool(state.get("fire.fault") or state.get("fire.disabled") or any(broken))
        yield from _of_a_panel(state)
    yield from _of_a_door(line, state)


def _of_a_boom(line: Line, state: dict[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """It meets obstacles again and again."""
    times = state.setdefault("~reversals", deque(maxlen=REVERSALS))
    times.append(line["t"])
    if len(times) == REVERSALS and times[-1] - times[0] <= REVERSED_WITHIN:
        yield "B04", None


def _of_a_panel(state: dict[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """A zone or a pre-alarm is an alarm of its own, unless it comes together with the general one."""
    if not (state.get("fire.prealarm") or any(state.get(f"zone{zone}") for zone in range(1, 9))):
        yield "F02", False
    elif not (state.get("fire.alarm") or state.get("callpoint")):
        yield "F02", True


def _of_a_door(line: Line, state: dict[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """A door may stand open for as long as it stands free, by command or by its own wire from the fire panel."""
    fact, mode = line.get("fact"), line.get("wrote", {}).get("mode")
    if line.get("event", {}).get("kind") == "door":
        state["open"] = line["event"]["state"] == "open"
    elif fact in {"fire input on", "fire input off"}:
        state["released"] = fact == "fire input on"
    elif mode is not None:
        state["free"] = mode == "free"
    elif "door.state" in line.get("points", {}) and "fault" not in line:  # of a door that is polled
        state["open"] = line["points"]["door.state"] == "open"
    else:
        return
    yield "A02", bool(state.get("open")) and not (state.get("free") or state.get("released"))
