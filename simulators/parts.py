"""What every part of a scenario file is made of, and the acts of doors and their controllers."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from simulators.access import NO_RIGHTS, PASSAGE, REACH
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND, Micros


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[Micros, BeforeValidator(_duration), Field(strict=True, ge=0)]
CardNumber = Annotated[str, Field(pattern=r"^[0-9]{4,12}$")]


class Part(BaseModel):
    """One mapping of a scenario file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Passage(Part):
    """Somebody opens a door `after` a grant or the exit button, and lets it go after `stay`."""

    after: Duration = REACH
    stay: Duration = PASSAGE


class Grant(Passage):
    """Somebody is granted entry; with `duress` the read carries the flag, and nothing else differs."""

    card: CardNumber | None = None
    way: Literal["in", "out"] = "in"
    duress: bool = False


class Deny(Part):
    """A card is refused `times` times, `every` so long."""

    times: int = Field(default=1, ge=1, le=1000)
    every: Duration = SECOND
    reason: int = Field(default=NO_RIGHTS, ge=1, le=255)
    card: CardNumber | None = None


class Crowd(Part):
    """So many people enter one after another."""

    people: int = Field(ge=1, le=10_000)
    every: Duration
    stay: Duration = PASSAGE


class ControllerDeed(Part):
    """What happens to the controller of a door: exactly one of these.

    Attributes:
        skip: sequence numbers are lost. overwrite: the oldest events are. reboot: it is off the network for a moment,
            and its counter goes on or restarts. flood: so many refused reads at this door within a second.
    """

    skip: int | None = Field(default=None, ge=1, le=1000)
    overwrite: int | None = Field(default=None, ge=1)
    reboot: Literal["goes_on", "restarts"] | None = None
    flood: int | None = Field(default=None, ge=1, le=5000)
