"""The doors of a scenario: what acts do to them, and the controllers of an MQTT link built from its devices."""

from collections.abc import Callable
from functools import partial

from simulators.access import Entrance
from simulators.behaviour import Tell
from simulators.controller import Body, Controller
from simulators.journal import Journal
from simulators.mqtt_face import ControllerFace, ControllerLink
from simulators.mqtt_link import Brokers
from simulators.parts import ControllerDeed, Crowd, Deny, Grant, Passage
from simulators.scenario import Act, Device, Link
from sitekeeper.model.clock import Clock, Micros

Action = Callable[[], None]


def door_deed(door: Entrance, act: Act) -> Action:
    """Return what to call when the time of this act has come."""
    match act.given()[1]:
        case Grant() as one:
            return partial(door.enter, one.stay, after=one.after, card=one.card or "", way=one.way, duress=one.duress)
        case Passage() as one:
            return partial(door.leave, one.stay, after=one.after)
        case Deny() as many:
            return partial(door.deny, many.times, every=many.every, reason=many.reason, card=many.card or "")
        case Crowd() as many:
            return partial(door.crowd, many.people, many.every, many.stay)
        case _:
            pass
    if act.enter is not None:
        return partial(door.enter, act.enter)
    if act.hold is not None:
        return partial(door.hold, act.hold)
    deeds: dict[str | None, Action] = {
        "force": door.force,
        "shut": door.shut,
        "free": partial(door.release, True),
        "lock": partial(door.release, False),
        "fire": partial(door.fire_input, True),
        "fire over": partial(door.fire_input, False),
    }
    return deeds[act.door]


class DoorBuilder:
    """Builds the controllers of one link.

    Args:
        wall: the wall time of a time of the story. teller: what hears the facts of a device.
    """

    def __init__(
        self,
        link: Link,
        *,
        seed: int,
        clock: Clock,
        story: Callable[[], Micros],
        speed: float,
        wall: Callable[[Micros], Micros],
        journal: Journal,
        teller: Callable[[str], Tell],
    ) -> None:
        self._link, self._seed, self._clock, self._story, self._speed = link, seed, clock, story, speed
        self._wall, self._journal, self._teller = wall, journal, teller
        self.controllers: dict[str, Controller] = {}
        self._ids: dict[tuple[str, int], str] = {}
        self.doors: dict[str, Entrance] = {}
        for device in link.devices:
            self._add(device)

    def faces(self, brokers: Brokers) -> dict[str, ControllerFace]:
        """Return the controllers on their broker, by their names."""
        return {
            name: ControllerFace(
                name,
                controller,
                brokers(f"sim-{self._link.site}-{name}"),
                devices={door: device for (of, door), device in self._ids.items() if of == name},
                site=self._link.site,
                story=self._story,
                clock=self._clock,
                journal=self._journal,
                speed=self._speed,
            )
            for name, controller in self.controllers.items()
        }

    def link(self, faces: dict[str, ControllerFace]) -> ControllerLink:
        """Return what stands beside the servers of other links."""
        link = self._link
        return ControllerLink(list(faces.values()), link.port, link=link.id, clock=self._clock, journal=self._journal)

    def _add(self, device: Device) -> None:
        name = device.controller
        if name not in self.controllers:
            self.controllers[name] = Controller(
                int(name),
                wall=self._wall,
                capacity=self._link.store,
                note=partial(self._note, name),
                tell=partial(self._tell, name),
            )
        controller = self.controllers[name]
        door = self.doors[device.id] = controller.doors[device.door] = Entrance(
            seed=f"{self._seed}/{device.id}",
            traffic=device.traffic,
            tell=self._teller(device.id),
            event=partial(controller.happened, device.door),
        )
        self._ids[name, device.door] = device.id
        for number, step in enumerate(device.story):
            act = step.do
            if act.fault is None:
                deed = (
                    partial(_controller_deed, controller, device.door, act.controller)
                    if act.controller is not None
                    else door_deed(door, act)
                )
                door.plan(step.at, f"story {number}", deed)

    def _note(self, name: str, at: Micros, door: int, run: int, body: Body) -> None:
        self._journal.event(self._wall(at), self._ids.get((name, door), ""), name, run, body)

    def _tell(self, name: str, at: Micros, fact: str, more: Body) -> None:
        self._journal.of_controller(self._wall(at), name, fact, more)


def _controller_deed(controller: Controller, door: int, deed: ControllerDeed) -> None:
    at = controller.doors[door].now
    if deed.skip is not None:
        controller.skip(at, deed.skip)
    elif deed.overwrite is not None:
        controller.overwrite(at, deed.overwrite)
    elif deed.flood is not None:
        controller.flood(door, deed.flood)
    else:
        controller.reboot(at, restarts=deed.reboot == "restarts")
