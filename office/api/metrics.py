"""What a Prometheus server may collect: counts and times, of sites and channels, never of people.

Text format 0.0.4 (prometheus.io, "Exposition formats"). It needs a session or a bearer token, as the API does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.auth import Session
from office.console.parts import Parts, PartsNow, Who
from sitekeeper import __version__
from sitekeeper.model.clock import SECOND

Labels = Mapping[str, str]
Family = tuple[str, str, str, Iterable[tuple[Labels, float]]]
"""Name, type, help, and the values by their labels."""

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(parts: PartsNow, session: Who) -> Response:
    """Counts and times for Prometheus, of the sites that the caller may see."""
    told = await parts.pages.ask(lambda reader: exposition([*_of_office(parts), *_of_store(parts, reader, session)]))
    return Response(told, media_type="text/plain; version=0.0.4; charset=utf-8")


def exposition(families: Iterable[Family]) -> str:
    """Return families of metrics in Prometheus' text format."""
    lines: list[str] = []
    for name, kind, words, values in families:
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        for labels, value in values:
            written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"{name}{{{written}}} {value:.15g}" if written else f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _of_office(parts: Parts) -> list[Family]:
    return [
        ("sitekeeper_office_info", "gauge", "The running version.", [({"version": __version__}, 1)]),
        ("sitekeeper_office_ready", "gauge", "1 if it receives and stores.", [({}, not parts.ready())]),
        ("sitekeeper_office_broker_up", "gauge", "1 if it has its broker.", [({}, parts.broker())]),
    ]


def _of_store(parts: Parts, reader: HistoryReader, session: Session) -> list[Family]:
    only, hidden = session.sites, parts.sites(reader, session)[1].hidden(reader)
    sites, now = facts.all_sites(*parts.sites(reader, session), only), parts.now
    heard = [({"site": s.row.site}, (now - s.row.last_seen) / SECOND) for s in sites if s.row.last_seen]
    unsent = [({"site": s.row.site, "stream": name}, n) for s in sites for name, n in sorted(s.row.unsent.items())]
    open_ones = [
        ({"site": site, "priority": priority, "state": state}, number)
        for (site, priority, state), number in sorted(reader.alarm_counts(hidden=hidden).items())
        if only is None or site in only
    ]
    counted = Counter(reader.push_counts())
    counted.subtract(_kept_back(reader, hidden))
    pushes = [({"channel": c, "state": state}, number) for (c, state), number in sorted(counted.items()) if number]
    live = [({"site": s.row.site}, s.live) for s in sites]
    room = [({"site": s.row.site}, s.room.hours) for s in sites if s.room is not None]
    of_sites: list[Family] = [
        ("sitekeeper_site_live", "gauge", "1 if the site was heard of late.", live),
        ("sitekeeper_site_heard_seconds", "gauge", "Seconds since the site was heard.", heard),
        ("sitekeeper_site_unsent_blocks", "gauge", "Blocks that wait on the site, as it told last.", unsent),
        ("sitekeeper_site_buffer_hours", "gauge", "Hours its buffer lasts without the office, as it told last.", room),
        ("sitekeeper_alarms_open", "gauge", "Alarms that are not normal.", open_ones),
    ]
    if only is not None:
        return of_sites  # the others count what belongs to all sites together
    return [
        *of_sites,
        ("sitekeeper_transitions_total", "counter", "Moves of alarms stored.", [({}, _moves(reader, hidden))]),
        ("sitekeeper_pushes", "gauge", "Rows of the push log.", pushes),
        ("sitekeeper_quarantined", "gauge", "Messages that could not be used.", [({}, reader.quarantined())]),
    ]


def _kept_back(reader: HistoryReader, hidden: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return how many rows of the push log are about alarms of rules that the caller must not know of."""
    rows = reader.ask(f"SELECT channel, p.state, count(*) {_of('pushes', hidden)} GROUP BY channel, p.state", *hidden)
    return {(row[0], row[1]): row[2] for row in rows}


def _moves(reader: HistoryReader, hidden: Sequence[str]) -> int:
    """Return how many moves the store has, as far as the caller may know."""
    return reader.last_transition() - int(reader.ask(f"SELECT count(*) {_of('transitions', hidden)}", *hidden)[0][0])


def _of(table: str, hidden: Sequence[str]) -> str:
    """Return the rows of a table with occurrences that belong to alarms of these rules, `<site>/<rule>` each."""
    marks = ", ".join("?" * len(hidden)) or "NULL"  # below, A is the character after @
    return (
        f"FROM alarms a JOIN {table} p ON p.occurrence >= a.key || '@' AND p.occurrence < a.key || 'A'"
        f" WHERE a.site || '/' || a.rule IN ({marks})"
    )
