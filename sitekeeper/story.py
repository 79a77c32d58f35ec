"""An alarm told as a story: its transitions and the messages about it, in order, in words, in one language.

Pure: used by `sk alarm show` on the site, which knows no pushes, and at the office. The labels are shared with the
messages that the office sends, so that a person reads the same names everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import HELD_BACK, Cause, Transition, annunciates, split_key
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import NotFound
from sitekeeper.model.quality import Q, is_good, unpack
from sitekeeper.model.sample import Value
from sitekeeper.texts import pick, text

FIRST_VALUES: Final = ("floor",)
"""Points that a rescuer asks for first."""
_OVER_IT: Final = frozenset(Cause) - {
    Cause.RAISE, Cause.REANNUNCIATE, Cause.LEVEL, Cause.CLEAR, Cause.ACK, Cause.UNACK, Cause.RESET,
}  # fmt: skip
"""Moves that are told in words of their own room: of what lies over an alarm, and of what people write into it."""
NEVER: Final[Micros] = 2**62
"""Later than any time: of a push that has not begun."""


class Push(Protocol):
    """What the story needs of a row of the office's push log."""

    @property
    def id(self) -> int: ...
    @property
    def recipient(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def started(self) -> Micros | None: ...
    @property
    def finished(self) -> Micros | None: ...
    @property
    def latency_ms(self) -> float | None: ...
    @property
    def answer(self) -> str: ...
    @property
    def possible_repeat(self) -> bool: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What people call the things of one alarm, and where and when they are.

    Attributes:
        points, units: by point name, of the alarm's device.
        playbook: name of the instructions; phone: number to call for this equipment. Either may be empty.
    """

    lang: str
    site: str
    device: str
    rule: str
    points: Mapping[str, str]
    units: Mapping[str, str]
    zone: tzinfo
    playbook: str = ""
    phone: str = ""


def labels(catalogue: Catalogue | None, key: str, lang: str) -> Labels:
    """Return the labels of the alarm `key` from the site's catalogue; ids stand in for names that it lacks."""
    site, device, rule = split_key(key)
    found = catalogue or Catalogue(site=site)
    devices = {row.id: row for row in found.devices}
    rules = {row.id: row for row in found.rules}
    own = [row for row in found.points if row.device == device]
    names = {row.id.removeprefix(f"{device}/"): row for row in own}
    return Labels(
        lang=lang,
        site=pick(found.names, lang, _own(f"office.site.{site}", lang, site)),
        device=pick(devices[device].names, lang, device)
        if device in devices
        else _own(f"office.device.{device}", lang, device),
        rule=pick(rules[rule].names, lang, rule) if rule in rules else _own(f"office.rule.{rule}", lang, rule),
        points={name: pick(row.names, lang, name.replace("_", " ")) for name, row in names.items()},
        units={name: row.unit for name, row in names.items()},
        zone=_zone(found.timezone),
        playbook=rules[rule].playbook if rule in rules else rule,
        phone=devices[device].asset.rescue_phone if device in devices else "",
    )


def story(
    transitions: Sequence[Transition], pushes: Sequence[Push], names: Labels, decisions: Sequence[str | None] = ()
) -> list[str]:
    """Tell one occurrence, line by line.

    Args:
        transitions: of this occurrence, in the order in which they were made; at least one.
        pushes: rows of the push log about it; none on the site.
        decisions: what the office decided about each transition, where it did.
    """
    first, last = transitions[0], transitions[-1]
    head = {"rule": names.rule, "id": first.rule, "device": names.device, "site": names.site}
    priority = text(f"model.priority.{last.priority}", names.lang)
    lines = [text("office.story.head", names.lang, **head, priority=priority)]
    waiting = sorted(pushes, key=lambda push: (_when(push), push.id))
    for index, moved in enumerate(transitions):
        lines.append(f"{stamp(moved.at, names.zone)}  {_moved(moved, names)}")
        lines += [f"    {line}" for line in _because(moved, names)]
        if index < len(decisions) and (said := decisions[index]) and not said.startswith("send"):
            lines += _kept_back(moved, said, names.lang)
        until = transitions[index + 1].at if moved is not last else NEVER
        while waiting and (_when(waiting[0]) < until or until == NEVER):
            push = waiting.pop(0)
            lines.append(f"{_stamp(_when(push), names.zone)}  {_pushed(push, names.lang)}")
    lines.append(text("office.story.now", names.lang, state=text(f"model.state.{last.target}", names.lang)))
    return lines


def pending_ack(ack: Ack, names: Labels) -> str:
    """Tell of an acknowledgement made at the office that the site has not answered yet."""
    who = text("office.story.who.office", names.lang, name=ack.who)
    said = text("office.story.ack-pending", names.lang, who=who)
    return f"{stamp(ack.made, names.zone)}  {said}" + (f": {ack.note}" if ack.note else "")


def stamp(at: Micros, zone: tzinfo) -> str:
    """Return a wall time in site time: `2026-06-01 14:05:09 +08:00`."""
    moment = datetime.fromtimestamp(at // SECOND, zone)
    return moment.isoformat(sep=" ")[:19] + " " + moment.isoformat()[19:]


def _stamp(at: Micros, zone: tzinfo) -> str:
    return " " * len(stamp(0, zone)) if at == NEVER else stamp(at, zone)


def span(micros: Micros, lang: str) -> str:
    """Return how long something lasted, in words a person takes in at a glance; below zero counts as zero."""
    micros = max(micros, 0)
    if micros >= HOUR:
        return text("office.story.span.h", lang, hours=micros // HOUR, minutes=micros % HOUR // MINUTE)
    if micros >= MINUTE:
        return text("office.story.span.min", lang, minutes=micros // MINUTE, seconds=micros % MINUTE // SECOND)
    return text("office.story.span.s", lang, seconds=micros // SECOND)


def value_lines(values: Mapping[str, tuple[Value, Q]], names: Labels) -> list[str]:
    """Return `name: value` for each input of the rule, the floor first."""
    order = sorted(values, key=lambda name: name not in FIRST_VALUES)  # else as the rule names them
    colon = text("office.story.value", names.lang, name="{name}", value="{value}")
    return [
        colon.format(name=names.points.get(name, name.replace("_", " ")), value=value_text(*values[name], name, names))
        for name in order
    ]


def value_text(value: Value, q: Q, name: str, names: Labels) -> str:
    """Return a value as a person reads it: yes or no, with its unit, or why there is none."""
    if not is_good(q) or value is None:
        return text("office.story.unknown", names.lang, why=_quality(q, names.lang))
    if isinstance(value, bool):
        return text("office.story.yes" if value else "office.story.no", names.lang)
    shown = f"{value:.6g}" if isinstance(value, float) else str(value).replace("_", " ")
    unit = names.units.get(name, "")
    return f"{shown} {unit}".rstrip()


def _moved(moved: Transition, names: Labels) -> str:
    who = "-"
    if moved.actor is not None:
        who = text(f"office.story.who.{moved.actor.origin}", names.lang, name=moved.actor.name)
    said = _said(moved, who, names)
    watched = text("office.story.watched", names.lang) if moved.mode == "watch" and moved.cause is Cause.RAISE else ""
    told = text("office.story.volatile", names.lang) if moved.volatile else ""
    return said + watched + told + _seen(moved, names.lang) + (f": {moved.note}" if moved.note else "")


def _said(moved: Transition, who: str, names: Labels) -> str:
    """Say what moved the alarm."""
    if moved.cause in _OVER_IT:
        until = stamp(moved.until, names.zone) if moved.until else ""
        return text(f"alarms.story.{moved.cause}", names.lang, who=who, until=until, by=moved.by, permit=moved.detail)
    latched = moved.cause is Cause.CLEAR and moved.latched
    return text("office.story.clear-latched" if latched else f"office.story.{moved.cause}", names.lang, who=who)


def _seen(moved: Transition, lang: str) -> str:
    """Say that a raise was shown to nobody, or that what comes into sight rings."""
    if moved.target in HELD_BACK and moved.cause in {Cause.RAISE, Cause.REANNUNCIATE}:
        return text("alarms.story.held", lang)
    return text("alarms.story.rings", lang) if moved.source in HELD_BACK and annunciates(moved) else ""


def _because(moved: Transition, names: Labels) -> list[str]:
    """Return what the rule saw; told for the moves that a person must understand, not for acknowledgements."""
    if moved.cause not in {Cause.RAISE, Cause.REANNUNCIATE, Cause.LEVEL}:
        return []
    limits = ", ".join(f"{name} {limit}" for name, limit in moved.limits.items())
    values = ", ".join(value_lines(moved.values, names))
    return [line for line in (why(moved, names.lang), values, limits) if line]


def why(moved: Transition, lang: str) -> str:
    """Say which of the rule's named conditions held, in words; a condition without words of its own is left out."""
    return because(split_key(moved.key)[2], moved.detail, moved.limits, lang)


def because(rule: str, detail: str, limits: Mapping[str, str], lang: str) -> str:
    """Put the named conditions of a rule that held, as its verdict names them, into words."""
    held = [_own(f"rules.because.{rule}.{name}", lang, "", **limits) for name in detail.split(", ")]
    return "; ".join(words for words in held if words) or detail


def _when(push: Push) -> Micros:
    return push.started or push.finished or NEVER


def _kept_back(moved: Transition, reason: str, lang: str) -> list[str]:
    if moved.cause not in {Cause.RAISE, Cause.REANNUNCIATE}:
        return []
    return [f"    {text('office.story.push.kept-back', lang, reason=_reason(reason, lang))}"]


def _pushed(push: Push, lang: str) -> str:
    answer = push.answer or _reason(push.reason, lang) if push.answer or push.reason else "-"
    state = text(f"office.story.push.{push.state}", lang, ms=f"{push.latency_ms or 0:.0f}", answer=answer)
    if push.state == "given-up":
        state = text("office.story.push.given-up", lang, ms="", answer=_reason(push.reason, lang))
    said = text(
        "office.story.push", lang, recipient=push.recipient, channel=push.channel, attempt=push.attempt, state=state
    )
    return said + (text("office.story.push.repeat", lang) if push.possible_repeat else "")


def _reason(reason: str, lang: str) -> str:
    return _own(f"office.story.reason.{reason}", lang, reason)


def _own(key: str, lang: str, default: str, **fields: object) -> str:
    try:
        return text(key, lang, **fields)
    except NotFound:
        return default


def _quality(q: Q, lang: str) -> str:
    try:
        reason = unpack(q)[1]
    except ValueError:  # from a newer version
        return f"q{q}"
    return text(f"model.reason.{reason.name.lower()}", lang) if reason else text("model.quality.bad", lang)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
