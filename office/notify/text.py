"""The words of a push. Pure: a case, the site's catalogue, a language -> one message.

Whoever reads it may see no more than the first 40 characters on a locked phone: severity, what, where. The floor, the
rescue phone, the steps and the event id survive any shortening; other values and the rule's own words go first.
"""

from typing import Final

from cloud_sync.store.base import Push
from office.notify.bundles import AGAIN
from office.notify.channels import Message
from office.notify.stages import Case, Reason
from sitekeeper.alarm_quality import CHATTER, CHATTER_WITHIN
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import Cause, split_key
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import NotFound
from sitekeeper.story import FIRST_VALUES, Labels, labels, span, stamp, value_lines, why
from sitekeeper.texts import text

GLANCE: Final = 40
"""Characters within which severity, what and where must stand."""
MAX_TITLE: Final = 120
MOST_VALUES: Final = 30
MAX_BYTES: Final = 2_048
"""Of title and body in UTF-8 together: the smallest limit among the messengers we know (WeCom text)."""


def message(case: Case, row: Push, catalogue: Catalogue | None, lang: str, now: Micros) -> Message:
    """Compose the message of one attempt; `now` is the office's wall time."""
    moved = case.transition
    site, device, rule = split_key(moved.key)
    names = labels(catalogue, moved.key, lang)
    head = title(case, names)
    return Message(
        event_id=case.event_id,
        occurrence=moved.occurrence,
        site=site,
        device=device,
        rule=rule,
        priority=moved.priority,
        cause=moved.cause,
        at=moved.at,
        title=head,
        body=_body(case, row, names, now, MAX_BYTES - len(head.encode()) - 1),
        values={name: value for name, (value, _) in moved.values.items()},
        attempt=row.attempt,
        possible_repeat=row.possible_repeat,
    )


def title(case: Case, names: Labels) -> str:
    """Return severity, what and where within `GLANCE` characters, then the site if it found no room, then the time."""
    moved = case.transition
    severity = text(f"office.severity.{moved.priority}", names.lang)
    anew = moved.cause in {Cause.REANNUNCIATE, Cause.REALARM}
    again = (
        text("office.push.unanswered" if case.step else "office.push.again", names.lang) if anew or case.step else ""
    )
    tail = text("office.push.tail", names.lang, time=stamp(moved.at, names.zone)[11:16])
    where = text("office.push.where", names.lang, device=names.device, site=names.site)
    head = text("office.push.head", names.lang, severity=severity, what=names.rule + again, where=where)
    if len(head) > GLANCE:
        room = GLANCE - len(text("office.push.head", names.lang, severity=severity, what=again, where=""))
        what = clip(names.rule, max(room - len(names.device), room // 2))
        where = clip(names.device, room - len(what))
        head = text("office.push.head", names.lang, severity=severity, what=what + again, where=where)
        tail = text("office.push.site", names.lang, site=names.site) + tail
    return clip(head + tail, MAX_TITLE)


def _body(case: Case, row: Push, names: Labels, now: Micros, limit: int) -> str:
    """Return the body in at most `limit` bytes; less important lines give way."""
    moved = case.transition
    site, device, rule = split_key(moved.key)
    alarm = {"what": names.rule, "rule": rule, "priority": text(f"model.priority.{moved.priority}", names.lang)}
    place = {"device": names.device, "device_id": device, "site": names.site, "site_id": site}
    values = value_lines(moved.values, names)
    first = values[: sum(name in moved.values for name in FIRST_VALUES)]
    top = [
        text("office.push.alarm", names.lang, **alarm),
        text("office.push.place", names.lang, **place),
        text("office.push.since", names.lang, time=stamp(moved.at, names.zone), span=span(now - moved.at, names.lang)),
        *first,
    ]
    end = [text("office.push.event", names.lang, event_id=clip(case.event_id, 500))]
    if moved.volatile:
        end.insert(0, text("office.push.volatile", names.lang))
    if row.possible_repeat:
        end.insert(0, text("office.push.repeat", names.lang))
    if row.reason == Reason.CHATTER:
        top.insert(0, _chatters(names.lang))
    if case.step:
        top.insert(0, text("office.push.step", names.lang, number=case.step))
    may_go = [*values[len(first) : MOST_VALUES], *([why(moved, names.lang)] if why(moved, names.lang) else [])]
    lines = [clip(line, 200) for line in top], _instructions(names), [clip(line, 200) for line in may_go]
    return fit(*lines, end, limit)


def _chatters(lang: str) -> str:
    """Say that an alarm comes and goes, and how often it is told."""
    within, every = span(CHATTER_WITHIN, lang), span(AGAIN, lang)
    return text("office.push.chatters", lang, times=CHATTER, within=within, every=every)


def fit(top: list[str], steps: list[str], may_go: list[str], end: list[str], limit: int) -> str:
    """Return the lines in at most `limit` bytes: those that may go give way first, then the steps, never the end."""
    while may_go and len("\n".join([*top, *may_go, *steps, *end]).encode()) > limit:
        may_go = may_go[:-1]
    body = "\n".join([*top, *may_go, *steps, *end])
    if len(body.encode()) <= limit:
        return body
    tail = "\n" + "\n".join(end)
    kept = "\n".join([*top, *steps]).encode()[: limit - len(tail.encode())]
    return kept.decode(errors="ignore") + tail


def _instructions(names: Labels) -> list[str]:
    lines = [text("office.push.phone", names.lang, phone=clip(names.phone, 60))] if names.phone else []
    if names.playbook:
        try:
            steps = text(f"office.playbook.{names.playbook}", names.lang)
        except NotFound:
            return lines  # a playbook of the site's own, which the office does not have
        lines += [text("office.push.steps", names.lang), *steps.splitlines()]
    return lines


def clip(line: str, limit: int) -> str:
    """Return a text in one line of at most `limit` characters."""
    flat = " ".join(line.split())
    return flat if len(flat) <= limit else flat[: max(limit - 1, 0)] + "…"
