"""Who is pushed what, as office.yaml says it: `routes` and `ladder`."""

from collections.abc import Collection, Iterable
from typing import Annotated, Final

from pydantic import Field

from office.notify.stages import Routes, Routing, Step
from office.secret_values import say
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Document
from sitekeeper.model.alarm import Priority
from sitekeeper.profile import Period, Written

PUSHED_BY_DEFAULT: Final[tuple[Priority, ...]] = ("P1", "P2", "P3")
MOST_STEPS: Final = 16

_Channels = list[str]


class SecurityRoutes(Written):
    """Ids of channels by priority; one that is missing is not pushed."""

    P1: _Channels = []
    P2: _Channels = []
    P3: _Channels = []
    P4: _Channels = []

    def routes(self) -> Routes:
        """Return the channels of each priority that has any."""
        found: dict[Priority, _Channels] = {"P1": self.P1, "P2": self.P2, "P3": self.P3, "P4": self.P4}
        return {priority: tuple(dict.fromkeys(ids)) for priority, ids in found.items() if ids}


class RouteSettings(SecurityRoutes):
    """The same, and of alarms that only security may know of; these go nowhere else."""

    security: SecurityRoutes = SecurityRoutes()


class StepSettings(Written):
    """Who else is called if nobody has acknowledged an alarm so long after it came to the office."""

    after: Period
    channels: Annotated[_Channels, Field(min_length=1)]


LadderSettings = dict[Priority, Annotated[list[StepSettings], Field(min_length=1, max_length=MOST_STEPS)]]


def routing(routes: RouteSettings | None, ladder: LadderSettings, channels: Iterable[str]) -> Routing:
    """Return who is pushed what: as written, else P1 to P3 to every channel."""
    written = dict.fromkeys(PUSHED_BY_DEFAULT, tuple(channels)) if routes is None else routes.routes()
    steps = {
        priority: tuple(Step(one.after, tuple(one.channels)) for one in rungs) for priority, rungs in ladder.items()
    }
    return Routing(written, {} if routes is None else routes.security.routes(), steps)


def check(
    document: Document, routes: RouteSettings | None, ladder: LadderSettings, channels: Collection[str], faults: Faults
) -> None:
    """Find channels that there are not, and a ladder that cannot be climbed."""
    written = routing(routes, ladder, channels)
    for of, table in () if routes is None else ((("routes",), routes), (("routes", "security"), routes.security)):
        for priority in ("P1", "P2", "P3", "P4"):
            _known(document, (*of, priority), getattr(table, priority), channels, faults)
    for priority, steps in ladder.items():
        before = 0
        if not written.routes.get(priority) and not written.security.get(priority):
            say(faults, document.place(("ladder", priority), key=True), "ladder-without-route", priority=priority)
        for index, step in enumerate(steps):
            _known(document, ("ladder", priority, index, "channels"), step.channels, channels, faults)
            if step.after <= before:
                say(faults, document.place(("ladder", priority, index, "after")), "ladder-order")
            before = step.after


def _known(
    document: Document, trail: tuple[str | int, ...], ids: Iterable[str], channels: Collection[str], faults: Faults
) -> None:
    for index, name in enumerate(ids):
        if name not in channels:
            say(faults, document.place((*trail, index)), "unknown-channel", near=nearest(name, channels), id=name)
