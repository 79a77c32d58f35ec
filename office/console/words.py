"""A page's words in one language: names of things, values, times and ages as a person reads them. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Final

from cloud_sync.store.base import Push
from office.facts import AlarmFacts, Known, SiteFacts, ValueFacts
from office.silence import RULE as SILENCE
from sitekeeper.catalogue import CataloguePoint
from sitekeeper.durations import parse_duration
from sitekeeper.model.alarm import UNACKED
from sitekeeper.model.clock import DAY, SECOND, Micros
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import ONLINE
from sitekeeper.model.quality import is_good, unpack
from sitekeeper.model.sample import Value
from sitekeeper.story import span, stamp, why
from sitekeeper.texts import Language, pick, text

SHAPES: Final = {"P1": "■", "P2": "▲", "P3": "◆", "P4": "●"}
"""A shape for each priority, so that colour never stands alone."""

SCRIPTED: Final = ("cut", "no-broker", "no-store", "new", "announce", "read", "failed")
"""Texts of room `console`, under `js.`, that the browser fills in."""


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
    """Return `live`, `silent`, or `never` for a site of which only others told."""
    if site.live:
        return "live"
    return "silent" if site.row.last_seen else "never"
