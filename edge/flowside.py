"""The flow of one gateway, put together out of its settings and of what its outbox remembers of the time before."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.announce import Tell
from edge.changes import Changes
from edge.latest import Latest
from edge.occurrences import Occurrences
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.recorder import Recorder
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.settings.values import Site
from edge.trust import keeping
from edge.watches import Watches, watches
from sitekeeper.block import STREAMS
from sitekeeper.model.clock import Clock, Moment

if TYPE_CHECKING:
    from edge.trust.keeper import Keeper


class Flow(NamedTuple):
    """The flow, and those of its parts that others ask: the rules, the watches, who renews the certificate."""

    pipeline: Pipeline
    engine: Engine
    watches: Watches
    keeper: "Keeper | None"


def flow(
    site: Site, outbox: Outbox, clock: Clock, catalogue: str, *, boot: str, tell: Tell, wake: Callable[[], None]
) -> Flow:
    """Return the flow of a gateway that starts now.

    Args:
        catalogue: its hash. tell: see `announce.Announcer`. wake: see `Pipeline`.

    Raises:
        StorageError: the outbox does not take the beginning of the accounts of its scan groups.
    """
    now = Moment(wall=clock.wall(), mono=clock.monotonic(), trusted=clock.trusted())
    state = outbox.state()
    as_of = state.as_of.mono if state.as_of is not None else None
    unknown = {group.id: now.wall for group in site.groups if group.id not in state.group_until}
    if unknown:  # a group's account begins with the first start that knows it, even if this one dies at once
        outbox.append([], until=unknown)
        outbox.flush()
    changes = Changes(site.points, site.groups, site.heartbeats, now=now.mono)
    recorder = Recorder(
        site=site.id,
        epoch=outbox.epoch,
        boot=boot,
        catalogue=catalogue,
        groups=[group.id for group in site.groups],
        ledger=changes,
        sequences={stream: outbox.next_sequence(stream) for stream in STREAMS},
        covered=state.group_until,
        start=now,
    )
    engine = Engine(site.rules, state=_rules_only(state.rule_state), as_of=as_of, now=now.mono)
    book = AlarmBook(site.id, outbox.epoch, state.alarms, facts_of(site.rules.plans), now)
    own = watches(site.id, book, boot, now, tell=tell, outbox=outbox)
    keeper = keeping.keeper(site, book, clock)
    pipeline = Pipeline(
        boot=boot,
        changes=changes,
        derives=Derives(site.derivations, state=state.rule_state, as_of=as_of, now=now.mono),
        latest=Latest(site.points),
        engine=engine,
        occurrences=Occurrences(state.rule_state),
        book=book,
        recorder=recorder,
        store=outbox,
        clock=clock,
        watches=(own.disk, own.clock, own.losses, *keeping.watches(keeper)),
        wake=wake,
    )
    return Flow(pipeline, engine, own, keeper)


def _rules_only(state: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave out what derived points remember, `.../=<point>`, and what is no rule's: claims and counters of events."""
    return {key: value for key, value in state.items() if "/=" not in key and not key.startswith("~")}
