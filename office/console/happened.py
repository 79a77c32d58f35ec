"""Events in a person's words: reads, commands and what came of them, holes in a counter. Pure.

Personal identifiers arrive as pseudonyms; whatever does not look like one is withheld, should a site ever err.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_sync.store.history import EventRow
from office.console.words import Words
from office.known import Known
from sitekeeper.catalogue import CataloguePoint
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value
from sitekeeper.order import ALARM_TARGETS
from sitekeeper.texts import text

NEWEST: Final = 50
"""Events shown on a page."""
PERSONAL: Final = frozenset({"cred", "card", "plate", "person", "phone"})
ORDER: Final = {"granted": -1, "state": -1, "reason": 2}
"""Where a field stands in the sentence; the others between, by name."""
_PSEUDONYM: Final = re.compile(r"h1:[0-9a-f]{24}")
_SHORT: Final = 8
"""Digits of a pseudonym that a person can compare."""
_BAD_OUTCOMES: Final = frozenset({"refused", "timed_out", "unconfirmed"})


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One event as a page shows it; `grave` if somebody should look at it."""

    id: int
    device: str
    at: Micros
    what: str
    said: str
    late: bool
    grave: bool


def happened(rows: Iterable[EventRow], known: Known, w: Words) -> list[Happened]:
    """Return events in words, the newest first."""
    found = []
    for row in sorted(rows, key=lambda each: (each.at, each.id), reverse=True):
        device, _, name = row.source_id.partition("/")
        what = w.maybe(f"console.event.{name}", name.replace("_", " ").replace(".", " "))
        said, grave = _told(name, device, row.fields, known, w)
        found.append(Happened(id=row.id, device=device, at=row.at, what=what, said=said, late=row.late, grave=grave))
    return found


def _told(name: str, device: str, fields: Mapping[str, Value], known: Known, w: Words) -> tuple[str, bool]:
    if name == "command" and {"point", "value", "by", "outcome"} <= fields.keys():
        return _command(device, fields, known, w), fields["outcome"] in _BAD_OUTCOMES
    if name == "audit_gap" and {"from", "to"} <= fields.keys():
        gap = {"first": fields["from"], "last": fields["to"], "counter": fields.get("counter", device)}
        return w("told.gap", **gap), True
    ordered = sorted(fields.items(), key=lambda field: (ORDER.get(field[0], 1), field[0]))
    parts = [_field(key, value, known, w) for key, value in ordered]
    return w("list.comma").join(part for part in parts if part), fields.get("granted") is False


def _command(device: str, fields: Mapping[str, Value], known: Known, w: Words) -> str:
    point = _point(device, str(fields["point"]), known)
    outcome = str(fields["outcome"])
    if fields["point"] in ALARM_TARGETS:
        return _of_alarm(fields, known, w)
    told = w(
        "told.command",
        point=w.point(point) if point else w.maybe(f"console.point.{fields['point']}", str(fields["point"])),
        value=_written(point, fields["value"], w),
        by=_claimant(str(fields["by"]), known, w),
        priority=fields.get("priority", w("value.none")),
        outcome=w.maybe(f"console.outcome.{outcome}", outcome.replace("_", " ")),
    )
    reason = fields.get("reason")
    return f"{told} ({reason})" if reason else told


def _of_alarm(fields: Mapping[str, Value], known: Known, w: Words) -> str:
    """Return an order of the office about an alarm, and what came of it."""
    outcome, reason = str(fields["outcome"]), str(fields.get("reason") or "")
    told = w(
        "told.alarm-order",
        deed=w(f"deed.{str(fields['point']).partition('/')[2]}"),
        alarm=_claimant(str(fields["value"]), known, w),
        by=fields["by"],
        outcome=w.maybe(f"console.drawer.order.{outcome}", outcome),
    )
    return f"{told} ({w.maybe(f'cli.problem.{reason}', reason)})" if reason else told


def _claimant(by: str, known: Known, w: Words) -> str:
    """Return who gave a command: a person, or a rule of a device, `fire-panel/F01`."""
    device, _, rule = by.rpartition("/")
    if device in known.devices:
        return w("told.rule", device=w.device(known, device), rule=w.rule(known, rule))
    return w.rule(known, by)


def _point(device: str, name: str, known: Known) -> CataloguePoint | None:
    wanted = name if "/" in name else f"{device}/{name}"
    return next((point for point in known.points.get(wanted.partition("/")[0], ()) if point.id == wanted), None)


def _written(point: CataloguePoint | None, value: Value, w: Words) -> str:
    """Return a written value, which travels as text, in the words of its point; one may be written and never read."""
    if value is None:
        return w("value.none")
    truth = str(value).lower()
    if point is not None and point.type == "bool":
        return w.value(point, truth in {"true", "1"})
    if point is not None and point.type == "enum":
        return w.member(point, str(value))
    if truth in {"true", "false"}:
        return text(f"office.story.{'yes' if truth == 'true' else 'no'}", w.lang)
    return f"{value} {'' if point is None else point.unit}".rstrip()


def _field(key: str, value: Value, known: Known, w: Words) -> str:
    if value is None or value == "":
        return ""
    if key in PERSONAL:
        token = str(value)
        if _PSEUDONYM.fullmatch(token):
            return w("told.card", token=token[3 : 3 + _SHORT])
        return w("told.card", token=w("told.withheld"))
    if key == "granted":
        return w("told.granted" if value else "told.refused")
    if key == "state":
        return _value(key, value, known, w)
    name = w.maybe(f"console.field.{key}", key.replace("_", " "))
    return w("told.field", name=name, value=_value(key, value, known, w))


def _value(key: str, value: Value, known: Known, w: Words) -> str:
    if key == "reason":
        return w.maybe(f"console.reason.{value}", w("told.code", code=value))
    if key == "rule":
        return w.rule(known, str(value))
    if isinstance(value, bool):
        return text(f"office.story.{'yes' if value else 'no'}", w.lang)
    if isinstance(value, str):
        return w.maybe(f"console.member.{value}", value)
    return f"{value:.6g}"
