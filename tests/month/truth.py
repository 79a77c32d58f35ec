"""Which alarm each fact calls for, and when: numbers of the domain brief (2.4, 3.3, 4.2, 5.3, 6), typed from it anew.

An alarm is due no earlier than its delay after the fact, and no later than that, two readings and a second after the
gateway could know. What ends sooner calls for none.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.month.world import MINUTE, SECOND, Fact

PERIMETER = ("door-1", "door-2")
SWITCH_ROOM = ("leak-1",)
BEHIND = {"40001": ("door-1", "door-2", "door-3", "door-4"), "40002": ("door-5", "door-6")}
"""Doors by controller."""

LIFT, DOOR, LANE, LAMP, CONTACT = SECOND, SECOND // 10, SECOND, 5 * SECOND, SECOND
"""How often each is read; a door tells by itself."""


class Call(NamedTuple):
    """The alarm that a fact calls for: rule, priority, after how long, and how often its machine is read."""

    rule: str
    priority: str
    after: float
    read: int
    slack: float = 0
    """Seconds for which the brief gives no number, or gives it in readings."""


CALLS: dict[str, tuple[Call, ...]] = {
    "person between floors": (Call("L01", "P1", 30, LIFT),),
    "person in the dark": (Call("L01", "P1", 0, LIFT),),
    "button in a car that stands": (Call("L03", "P1", 3, LIFT),),
    "person behind shut doors": (Call("L02", "P2", 90, LIFT), Call("L02", "P1", 180, LIFT)),
    "empty between floors": (Call("L04", "P2", 15, LIFT),),
    "doors open between floors": (Call("L08", "P1", 2, LIFT),),
    "fault_overrun_top": (Call("L05", "P1", 0, LIFT),),
    "fault_pit": (Call("L06", "P1", 0, LIFT),),
    "moving_door_open": (Call("L07", "P1", 0.5, LIFT),),
    "fault_unintended_movement": (Call("L09", "P1", 0, LIFT),),
    "overspeed": (Call("L10", "P1", 0.5, LIFT),),
    "fault_safety_circuit": (Call("L11", "P2", 1, LIFT),),
    "fault_door_close": (Call("L12", "P3", 0, LIFT),),
    "fault_door_open": (Call("L13", "P3", 0, LIFT),),
    "lift held open": (Call("L15", "P4", 60, LIFT),),
    "fault_position_lost": (Call("L17", "P3", 5, LIFT),),
    "vibration_alarm": (Call("L20", "P3", 5, LIFT),),
    "mains of a lift": (Call("L22", "P2", 3, LIFT),),
    "ebike": (Call("L23", "P3", 2, LIFT),),
    "alarm_test_failed": (Call("L26", "P2", 0, LIFT),),
    "battery_low": (Call("L27", "P2", 60, LIFT),),
    "lift silent": (Call("L25", "P3", 60, LIFT),),
    "held open": (Call("A02", "P3", 30, DOOR), Call("A02", "P2", 300, DOOR)),
    "five refusals in a minute": (Call("A03", "P2", 0, DOOR),),
    "anti-passback": (Call("A05", "P4", 0, DOOR),),
    "duress": (Call("A06", "P1", 0, DOOR),),
    "second opening on one grant": (Call("A07", "P3", 0, DOOR),),
    "tampered": (Call("A08", "P2", 2, DOOR),),
    "lock broken": (Call("A10", "P2", 5, DOOR),),
    "exit button and nobody comes": (Call("A15", "P4", 10, DOOR),),
    "boom opening": (Call("B01", "P2", 8, LANE),),
    "boom off": (Call("B03", "P2", 1, LANE),),
    "third reversal": (Call("B04", "P3", 0, LANE),),
    "loop chatters": (Call("B06", "P3", 0, LANE, 20),),
    "cabinet open": (Call("B13", "P2", 2, LANE),),
    "lane silent": (Call("B13", "P3", 60, LANE),),
    "waits at the boom": (Call("B14", "P3", 90, LANE),),
    "lamp failed": (Call("G01", "P4", 0, LAMP, 10),),
    "three lamps failed": (Call("G01", "P3", 0, LAMP, 10),),
    "battery failed": (Call("G10", "P2", 0, MINUTE),),
    "lamp silent": (Call("G19", "P4", 60, LAMP),),
    "fire": (Call("F01", "P1", 0, CONTACT), Call("A13", "P1", 0, CONTACT)),
    "one detector": (Call("F02", "P2", 0, CONTACT), Call("F02", "P1", 180, CONTACT)),
    "panel fault": (Call("F03", "P2", 5, CONTACT),),
    "panel silent": (Call("F04", "P2", 30, CONTACT),),
    "leak": (Call("W01", "P2", 10, CONTACT),),
    "leak near switches": (Call("W01", "P1", 10, CONTACT),),
    "leak cable broken": (Call("W02", "P3", 60, CONTACT),),
    "gas low": (Call("H01", "P2", 5, CONTACT),),
    "gas high": (Call("H02", "P1", 0, CONTACT),),
    "gas detector fault": (Call("H03", "P2", 0, CONTACT, 5),),
    "gas detector silent": (Call("H09", "P2", 30, CONTACT, 30),),
    "link lost": (Call("GW20", "P2", 5, SECOND),),
}


class Due(NamedTuple):
    """An alarm that must ring: within these times, on one of these devices."""

    rule: str
    devices: tuple[str, ...]
    priority: str
    earliest: int
    latest: int


@dataclass(frozen=True)
class Rang:
    """An alarm that rang."""

    at: int
    rule: str
    device: str
    priority: str
    occurrence: str


def due(facts: Sequence[Fact], zones: dict[str, tuple[str, ...]]) -> list[Due]:
    """Return every alarm that the facts call for."""
    found = [each for fact in facts for each in _of(fact, zones)]
    presses = [fact for fact in facts if fact.what == "button in a car that stands"]
    return [_sooner(each, presses) if each.rule == "L01" else each for each in found]


def _of(fact: Fact, zones: dict[str, tuple[str, ...]]) -> Iterator[Due]:
    devices = zones.get(fact.device) or BEHIND.get(fact.device) or (fact.device,)
    for call in _calls(fact):
        after = round(call.after * SECOND)
        if after == 0 or fact.end - fact.begin > after:
            latest = max(fact.begin + after, fact.known + after) + 2 * call.read + SECOND + round(call.slack * SECOND)
            yield Due(call.rule, devices, call.priority, fact.begin + after, latest)


def _calls(fact: Fact) -> tuple[Call, ...]:
    """Return what a fact calls for; of doors that depends on where they are."""
    if fact.what == "forced":
        return (Call("A01", "P1" if fact.device in PERIMETER else "P2", 0, DOOR),)
    if fact.what == "controller silent":
        return (Call("A11", "P2" if {*BEHIND[fact.device]} & {*PERIMETER} else "P3", 60, DOOR),)
    return CALLS[fact.what]


def _sooner(each: Due, presses: Iterable[Fact]) -> Due:
    """Somebody between floors who presses the button for 3 s need not wait for half a minute."""
    limit = 3 * SECOND
    mine = [p.begin + limit for p in presses if p.device in each.devices and p.end - p.begin > limit]
    sooner = min((at for at in mine if each.earliest - 30 * SECOND < at < each.earliest), default=each.earliest)
    return each._replace(earliest=sooner, latest=each.latest - (each.earliest - sooner))


def judge(calls: Sequence[Due], rang: Sequence[Rang]) -> tuple[list[Due], list[Rang]]:
    """Return what should have rung and did not, and what rang without a reason; one answers one."""
    left, missing = list(rang), []
    for call in sorted(calls, key=lambda call: call.latest):
        mine = next((one for one in left if _answers(one, call)), None)
        if mine is None:
            missing.append(call)
        else:
            left.remove(mine)
    return missing, left


def _answers(one: Rang, call: Due) -> bool:
    rule = one.rule == call.rule or one.rule.startswith(f"{call.rule}-")
    right = rule and one.device in call.devices and one.priority == call.priority
    return right and call.earliest <= one.at <= call.latest


def crowded(rang: Sequence[Rang], storms: Sequence[tuple[int, int]]) -> list[tuple[Rang, Rang]]:
    """Return alarms of which one rang within ten minutes of the other, neither in a storm; a rise is no other alarm."""
    calm = [one for one in rang if not any(begin <= one.at <= end for begin, end in storms)]
    first = list({one.occurrence: one for one in reversed(calm)}.values())[::-1]
    ordered = sorted(first, key=lambda one: one.at)
    return [(a, b) for a, b in itertools.pairwise(ordered) if b.at - a.at < 10 * MINUTE]
