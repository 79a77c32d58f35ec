"""The words of a digest: that a flood has begun, goes on or is over, with what it began, and how much of what. Pure."""

from collections.abc import Collection

from cloud_sync.store.base import Push
from office.notify.bundles import AGAIN, DEVICE, RULE
from office.notify.channels import Message
from office.notify.stages import BUNDLED, Roundup
from office.notify.text import MAX_BYTES, MAX_TITLE, clip, fit
from sitekeeper.alarm_quality import FLOOD_ABOVE, WINDOW
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import Priority, Transition, alarm_key, split_key
from sitekeeper.story import Labels, labels, span, stamp
from sitekeeper.texts import text


def message(
    roundup: Roundup, row: Push, catalogue: Catalogue | None, lang: str, priorities: Collection[Priority]
) -> Message:
    """Compose a digest for a channel that is pushed these priorities: of others it is told nothing."""
    digest = roundup.digest
    names = labels(catalogue, alarm_key(digest.site, DEVICE, RULE), lang)
    priority = next(one for one in BUNDLED if one in priorities or one == BUNDLED[-1])
    severity = text(f"office.severity.{priority}", lang)
    what = text(f"office.push.flood.{digest.kind}", lang)
    tail = text("office.push.tail", lang, time=stamp(digest.at, names.zone)[11:16])
    head = clip(text("office.push.head", lang, severity=severity, what=what, where=names.site) + tail, MAX_TITLE)
    return Message(
        event_id=digest.event_id,
        occurrence=roundup.occurrence,
        site=digest.site,
        device=DEVICE,
        rule=RULE,
        priority=priority,
        cause=digest.kind,
        at=digest.at,
        title=head,
        body=_body(roundup, row, names, catalogue, priorities, MAX_BYTES - len(head.encode()) - 1),
        values={},
        attempt=row.attempt,
        possible_repeat=row.possible_repeat,
    )


def _body(
    roundup: Roundup,
    row: Push,
    names: Labels,
    catalogue: Catalogue | None,
    priorities: Collection[Priority],
    limit: int,
) -> str:
    lang, digest = names.lang, roundup.digest
    often = {of: count for of, count in roundup.told.items() if of[1] in priorities}
    top = [
        text("office.push.flood.why", lang, most=FLOOD_ABOVE, within=span(WINDOW, lang), every=span(AGAIN, lang)),
        text(
            f"office.push.flood.count.{digest.kind}",
            lang,
            count=sum(often.values()),
            site=names.site,
            site_id=digest.site,
        ),
    ]
    if roundup.first is not None and roundup.first.priority in priorities:
        top.append(_first(roundup.first, catalogue, names))
    counts = [
        text("office.push.flood.of", lang, count=count, rule=rule, priority=priority, what=_name(rule, catalogue, lang))
        for (rule, priority), count in sorted(often.items(), key=lambda one: (-one[1], one[0]))
    ]
    end = [text("office.push.event", lang, event_id=digest.event_id)]
    if row.possible_repeat:
        end.insert(0, text("office.push.repeat", lang))
    return fit([clip(line, 300) for line in top], [], [clip(line, 120) for line in counts], end, limit)


def _first(first: Transition, catalogue: Catalogue | None, names: Labels) -> str:
    called = labels(catalogue, first.key, names.lang)
    device = {"device": called.device, "device_id": split_key(first.key)[1]}
    when = stamp(first.at, names.zone)
    return text("office.push.flood.first", names.lang, what=called.rule, rule=first.rule, **device, time=when)


def _name(rule: str, catalogue: Catalogue | None, lang: str) -> str:
    site = "-" if catalogue is None else catalogue.site
    return labels(catalogue, alarm_key(site, DEVICE, rule), lang).rule
