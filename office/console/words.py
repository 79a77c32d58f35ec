"""A page's words in one language: names of things, values, times and ages as a person reads them. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from cloud_sync.store.base import Push
from cloud_sync.store.orders import OrderRow
from office.facts import AlarmFacts, SiteFacts, ValueFacts
from office.known import Known
from office.silence import RULE as SILENCE
from sitekeeper.catalogue import CataloguePoint
from sitekeeper.durations import parse_duration
from sitekeeper.model.alarm import UNACKED
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Micros
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.point import ONLINE
from sitekeeper.model.quality import is_good, unpack
from sitekeeper.model.sample import Value
from sitekeeper.order import ALARM_TARGETS
from sitekeeper.story import span, stamp, why
from sitekeeper.texts import Language, pick, text

SHAPES: Final = {"P1": "■", "P2": "▲", "P3": "◆", "P4": "●"}
"""A shape for each priority, so that colour never stands alone."""

SCRIPTED: Final = ("cut", "no-broker", "no-store", "new", "announce", "read", "failed")
"""Texts of room `console`, under `js.`, that the browser fills in."""


LOOKS: Final = {
    "awaiting-confirmation": ("telling", "◐"),
    "sent": ("telling", "▷"),
    "accepted": ("telling", "▷"),
    "confirmed": ("complete", "✓"),
    "expired": ("nothing", "–"),
}
"""How a command's state is shown: (class, shape); the others did not go well."""
ILL: Final = ("unexplained", "■")


class OrderWords(NamedTuple):
    """A command in words: what is asked, where, how it stands and why; `look` and `shape` go with the state."""

    what: str
    where: str
    state: str
    why: str
    look: str
    shape: str


class Words:
    """Called with a key of room `console`, it returns the text: `w("alarms.title")`."""

    def __init__(self, lang: Language) -> None:
        self.lang = lang

    def __call__(self, key: str, **fields: object) -> str:
        return text(f"console.{key}", self.lang, **fields)

    def maybe(self, key: str, default: str) -> str:
        """Return the text called `key`, of any room, or `default` if there is none."""
        try:
            return text(key, self.lang)
        except NotFound:
            return default

    def scripted(self) -> dict[str, str]:
        """Return the texts that the browser fills in, with their fields left as `{field}`."""
        fields = {"seconds": "{s}", "minutes": "{m}", "hours": "{h}", "days": "{d}"}
        spans = {f"span-{unit}": text(f"office.story.span.{unit}", self.lang, **fields) for unit in ("s", "min", "h")}
        own = {name: self(f"js.{name}", time="{time}", n="{n}", what="{what}") for name in SCRIPTED}
        return spans | {"span-d": self("age.d", **fields)} | own

    # names

    def site(self, known: Known) -> str:
        return pick(known.catalogue.names, self.lang, known.catalogue.site)

    def device(self, known: Known, device: str) -> str:
        row = known.devices.get(device)
        if row is not None:
            return pick(row.names, self.lang, device)
        return self.maybe(f"office.device.{device}", device)

    def rule(self, known: Known, rule: str) -> str:
        row = known.rules.get(rule)
        if row is not None:
            return pick(row.names, self.lang, rule)
        return self.maybe(f"office.rule.{rule}", rule)

    def point(self, point: CataloguePoint) -> str:
        name = point.id.partition("/")[2]
        return pick(point.names, self.lang, self.maybe(f"console.point.{name}", name.replace("_", " ")))

    def point_of(self, known: Known, point: str) -> str:
        """Return what a point is called, with its device; its id if the catalogue has it no more."""
        device, _, _ = point.partition("/")
        row = next((row for row in known.points.get(device, ()) if row.id == point), None)
        return point if row is None else self("ledger.point", device=self.device(known, device), point=self.point(row))

    def group(self, known: Known, group: str) -> str:
        """Return what a scan group is called: its device and how often that is read; else its id."""
        row = next((row for row in known.catalogue.groups if row.id == group), None)
        if row is None:
            return group
        return self("ledger.group-of", device=self.device(known, row.device), period=self.length(row.period))

    def severity(self, priority: str) -> str:
        return text(f"office.severity.{priority}", self.lang)

    def state(self, state: str) -> str:
        return text(f"model.state.{state}", self.lang)

    # times

    def stamp(self, at: Micros, zone: tzinfo) -> str:
        """Return a time whole: `2026-06-01 14:05:09 +08:00`."""
        return stamp(at, zone)

    def clock(self, at: Micros, zone: tzinfo, now: Micros) -> str:
        """Return a time as short as it is clear: `14:05:09`, with the day before it if it is not today's."""
        moment = datetime.fromtimestamp(at // SECOND, zone)
        today = moment.date() == datetime.fromtimestamp(now // SECOND, zone).date()
        return moment.strftime("%H:%M:%S" if today else "%m-%d %H:%M:%S")

    def hour(self, at: Micros, zone: tzinfo, now: Micros) -> str:
        """Return a time to the minute: `14:05`, with the day before it if it is not today's."""
        moment = datetime.fromtimestamp(at // SECOND, zone)
        today = moment.date() == datetime.fromtimestamp(now // SECOND, zone).date()
        return moment.strftime("%H:%M" if today else "%m-%d %H:%M")

    def length(self, passed: Micros) -> str:
        """Return a length of time; less than a second is a tenth of it, as nothing that is there may look like none."""
        if 0 < passed < SECOND:
            return self("length.tenths", seconds=f"{max(passed / SECOND, 0.1):.1f}")
        return span(passed, self.lang)

    def lasting(self, written: str) -> str:
        """Return a length of time as a form has it (`30min`) in words."""
        micros = parse_duration(written)
        if micros % HOUR:
            return self("length.minutes", minutes=micros // MINUTE)
        return self("length.hours", hours=micros // HOUR)

    def room(self, hours: float) -> str:
        """Return for how long there is room, no more exactly than it is known."""
        if hours >= 48:
            return self("age.d", days=f"{int(hours / 2.4) / 10:.1f}")
        return self.length(round(hours * HOUR)) if hours else self("room.none")

    def share(self, part: Micros, whole: Micros) -> str:
        """Return a part in percent; what is not all never reads 100, and what is something never 0."""
        if not whole:
            return self("value.none")
        percent = part / whole * 100
        if 0 < percent < 0.01:
            return "<\u00a00.01\u00a0%"
        return "100\u00a0%" if part == whole else f"{min(percent, 99.99):.2f}\u00a0%"

    def what(self, kind: str) -> str:
        """Return what the ledger says of a stretch: known, awaited, unexplained, or a gap's cause."""
        return self.maybe(f"console.ledger.what.{kind}", "") or self.cause(kind)

    def age(self, since: Micros, now: Micros) -> str:
        """Return how long ago that was."""
        passed = max(now - since, 0)
        if passed >= 2 * DAY:
            return self("age.d", days=passed // DAY)
        return span(passed, self.lang)

    # values

    def value(self, point: CataloguePoint, value: Value) -> str:
        """Return a value in words or with its unit; booleans may come as SQLite holds them."""
        if value is None:
            return self("value.none")
        if point.type == "bool":
            return self._own(
                point, "true" if value else "false", text(f"office.story.{'yes' if value else 'no'}", self.lang)
            )
        if point.type == "enum":
            return self.member(point, str(value))
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f"{shown} {point.unit}".rstrip()

    def member(self, point: CataloguePoint, word: str) -> str:
        """Return a word of an enumeration in the page's language, if it has one."""
        return self._own(point, word, self.maybe(f"console.member.{word}", word.replace("_", " ")))

    def _own(self, point: CataloguePoint, word: str, default: str) -> str:
        """Return what a value of this very point is called; `zone1` to `zone8` share their words, as `line.x` do."""
        name = point.id.partition("/")[2]
        for known in (name, name.rstrip("0123456789"), f"{name.partition('.')[0]}.*"):
            if own := self.maybe(f"console.member.{known}.{word}", ""):
                return own
        return default

    def quality(self, q: int) -> str:
        """Return a packed quality in words: `good`, or why not."""
        if is_good(q):
            return text("model.quality.good", self.lang)
        try:
            quality, reason = unpack(q)
        except ValueError:  # from a newer version
            return f"{text('model.quality.bad', self.lang)} (q{q})"
        word = text(f"model.quality.{quality.name.lower()}", self.lang)
        if not reason:
            return word
        return self("quality.because", quality=word, why=text(f"model.reason.{reason.name.lower()}", self.lang))

    def cause(self, causes: str) -> str:
        """Return the causes of a hole in the record in words."""
        return self("list.comma").join(
            self.maybe(f"model.gap.{cause}", self.maybe(f"console.hole.{cause}", cause)) for cause in causes.split()
        )

    # commands

    def wanted(self, point: CataloguePoint, value: str) -> str:
        """Return what is asked for: a point that acts once is its own verb."""
        name, shown = self.point(point), value
        if point.id.partition("/")[2].startswith("cmd.") and value == "true":
            return name
        if point.type == "bool":
            shown = self.value(point, value == "true")
        elif point.type == "enum":
            shown = self.member(point, value)
        elif point.unit:
            shown = f"{value} {point.unit}"
        return self("commands.wanted", name=name, value=shown)

    def order(self, site: SiteFacts | None, row: OrderRow) -> OrderWords:
        """Return a command in words."""
        if row.target in ALARM_TARGETS:
            return self._about_alarm(site, row)
        device, _, name = row.target.partition("/")
        points = site.known.points.get(device, ()) if site is not None else ()
        point = next((each for each in points if each.id == row.target), None)
        what = f"{name} = {row.value}" if point is None else self.wanted(point, row.value)
        places = [row.site, device] if site is None else [self.site(site.known), self.device(site.known, device)]
        state, why = self(f"commands.state.{row.state}"), self._why(row.why)
        return OrderWords(what, " · ".join(places), state, why, *LOOKS.get(row.state, ILL))

    def _about_alarm(self, site: SiteFacts | None, row: OrderRow) -> OrderWords:
        deed, (device, _, rule) = row.target.partition("/")[2], row.value.partition("/")
        what = self(f"deed.{deed}")
        if deed == "shelve":
            what = self("deed.shelve-for", time=self.length(row.lasts))
        places = [row.site, device, rule]
        if site is not None:
            places = [self.site(site.known), self.device(site.known, device), self.rule(site.known, rule)]
        state, why = self(f"drawer.order.{row.state}"), self._why(row.why)
        return OrderWords(what, " · ".join(places), state, why, *LOOKS.get(row.state, ILL))

    def refusal(self, refused: Refused) -> str:
        """Return why something asked for was not done."""
        return self._why(refused.reason, refused.detail or str(refused))

    def _why(self, reason: str, default: str = "") -> str:
        own = self.maybe(f"console.commands.why.{reason}", "") if reason else ""
        return own or (self.maybe(f"cli.problem.{reason}", default or reason) if reason else "")

    # alarms

    def message(self, alarm: AlarmFacts) -> str:
        """Return why the alarm was raised, in the rule's words."""
        if alarm.cause is None:
            return ""
        move = alarm.cause.transition
        if move.rule == SILENCE and "silent_for" in move.limits:  # the office's own words, made in its own language
            silent = span(parse_duration(move.limits["silent_for"]), self.lang)
            return text("office.silence.detail", self.lang, span=silent)
        return why(move, self.lang)

    def who(self, alarm: AlarmFacts) -> str:
        """Return who acknowledged, or is waiting for the site to take it."""
        if alarm.pending is not None and alarm.record.state in UNACKED:
            return self("alarms.pending", who=alarm.pending.who)
        return alarm.record.acked_by

    def devices(self, known: Known, named: str) -> str:
        """Return what some devices are called, whose ids stand in a text with commas."""
        return self("list.comma").join(self.device(known, each) for each in named.split(", "))

    def parents(self, alarm: AlarmFacts) -> str:
        """Return which alarms suppress this one."""
        named = [by.partition("/") for by in alarm.record.veils]
        known = alarm.known
        shown = [(device, rule) for device, _, rule in named if rule not in known.hidden]
        told = [self("told.rule", device=self.device(known, d), rule=self.rule(known, r)) for d, r in shown]
        return self("list.comma").join(told) or self("value.none")

    def pushed(self, alarm: AlarmFacts) -> tuple[str, str]:
        """Return how its pushes stand: (class, words)."""
        newest = newest_by_channel(alarm.pushes)
        states = [push.state for push in newest.values()]
        if not states:
            kept = alarm.cause.decision if alarm.cause is not None else None
            if kept is None or kept.startswith("send"):
                return "none", self("push.none")
            return "none", self.maybe(f"office.story.reason.{kept}", kept)
        failed = sum(state in {"failed", "given-up"} for state in states)
        waiting = sum(state in {"planned", "sending"} for state in states)
        sent = len(states) - failed - waiting
        if failed:
            return "failed", self("push.failed", failed=failed, all=len(states))
        return ("waiting", self("push.waiting")) if waiting else ("sent", self("push.sent", sent=sent))


def newest_by_channel(pushes: Iterable[Push]) -> Mapping[str, Push]:
    """Return the last attempt of each channel, from pushes in order."""
    return {push.channel: push for push in pushes}


def is_answering(values: Mapping[str, ValueFacts]) -> bool | None:
    """Tell whether the device answers; None where that is not known or not recent."""
    online = values.get(ONLINE)
    if online is None or online.latest is None or not online.live:
        return None
    return bool(online.latest.value)


def site_state(site: SiteFacts) -> str:
    """Return `live`, `silent`, `revoked`, `unknown`, or `never` for a site of which only others told."""
    if site.revoked is not None:
        return "revoked"
    if site.unknown is not None:
        return "unknown"
    if site.live:
        return "live"
    return "silent" if site.row.last_seen else "never"
