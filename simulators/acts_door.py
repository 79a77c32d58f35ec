"""What a scenario file may say of doors and their controllers: what happens to them."""

from typing import Annotated, Final, Literal

from pydantic import Field

from simulators.access import NO_RIGHTS, PASSAGE, REACH
from simulators.parts import Duration, Faces, Part
from sitekeeper.model.clock import SECOND

CardNumber = Annotated[str, Field(pattern=r"^[0-9]{4,12}$")]


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


class DoorActs(Part):
    """What can happen to a door or its controller."""

    enter: Duration | None = None
    door: Literal["force", "shut", "free", "lock", "fire", "fire over"] | None = None
    grant: Grant | None = None
    deny: Deny | None = None
    rex: Passage | None = None
    crowd: Crowd | None = None
    hold: Duration | None = None
    controller: ControllerDeed | None = None
    tail: bool | None = None
    tamper: bool | None = None
    lock: Literal["jam", "free"] | None = None


_WIRED: Final = frozenset({"enter", "door", "hold"})
DOOR_FACES: Final[Faces] = {
    "bacnet": {"access-door": _WIRED},
    "mqtt": {
        "mqtt-door": _WIRED | {"grant", "deny", "rex", "crowd", "controller", "tail", "tamper", "lock"},
        "uhppote-door": _WIRED | {"grant", "deny", "rex", "crowd", "controller", "tail"},
        "esp-rfid": _WIRED | {"grant", "deny", "crowd"},
    },
}
