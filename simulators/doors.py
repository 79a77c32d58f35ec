"""The doors of a scenario: what acts do to them, and the controllers of an MQTT link built from its devices.

Plate cameras and car parks on MQTT are controllers too, with one thing behind each.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from simulators.access import Entrance
from simulators.acts_door import ControllerDeed, Crowd, Deny, Grant, Passage
from simulators.behaviour import Tell
from simulators.carpark import CarPark
from simulators.controller import Body, Controller
from simulators.deeds_lane import camera_deed, carpark_deed
from simulators.door_face import EspFace, UhppoteFace
from simulators.journal import Journal
from simulators.lane_camera import LaneCamera
from simulators.mqtt_face import ControllerFace, ControllerLink
from simulators.mqtt_link import Brokers
from simulators.scenario import Act, Device, Link
from sitekeeper.model.clock import Clock, Micros

Action = Callable[[], None]
Thing = Entrance | LaneCamera | CarPark
FAMILIES: Final = {"mqtt-door": ("access", "door"), "mqtt-lpr": ("lpr", "view"), "mqtt-carpark": ("carpark", "count")}
"""The words for the controllers of a face and for what stands behind them, in topics."""
FACES: Final = {"uhppote-door": UhppoteFace, "esp-rfid": EspFace}
"""What shows the controllers of a face that has topics of its own."""


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
    if act.tail is not None:
        return door.tail
    if act.tamper is not None:
        return partial(door.tamper, act.tamper)
    if act.lock is not None:
        return partial(door.jam, act.lock == "jam")
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
        self.watching: dict[str, Callable[[Micros, str], None]] = {}
        """By device: what is told of the lanes that it watches."""
        self.deeds: list[tuple[Callable[[Micros, str, Action], None], Micros, str, Action]] = []
        """What is to be planned: with what, when from the beginning of the story, under which name, what."""
        self._family: dict[str, tuple[str, str]] = {}
        self._shows: dict[str, type[ControllerFace]] = {}
        for device in link.devices:
            self._add(device)

    def faces(self, brokers: Brokers) -> dict[str, ControllerFace]:
        """Return the controllers on their broker, by their names."""
        return {
            name: self._shows[name](
                name,
                controller,
                brokers(f"sim-{self._link.site}-{name}"),
                devices={door: device for (of, door), device in self._ids.items() if of == name},
                site=self._link.site,
                story=self._story,
                clock=self._clock,
                journal=self._journal,
                speed=self._speed,
                family=self._family[name],
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
        self._ids[name, device.door] = device.id
        self._family[name] = FAMILIES.get(device.face, FAMILIES["mqtt-door"])
        self._shows[name] = FACES.get(device.face, ControllerFace)
        thing, deed = self._made(device, controller)
        controller.doors[device.door] = thing
        for number, step in enumerate(device.story):
            if step.do.fault is None:
                self.deeds.append((thing.plan, step.at, f"story {number}", deed(step.do)))

    def _made(self, device: Device, controller: Controller) -> tuple[Thing, Callable[[Act], Action]]:
        """Make what stands behind the controller, and what acts do to it."""
        seed, tell = f"{self._seed}/{device.id}", self._teller(device.id)
        event = partial(controller.happened, device.door)
        if device.face == "mqtt-lpr":
            camera = LaneCamera(seed=seed, way=device.lane.way, tell=tell, event=event)
            self.watching[device.id] = camera.sees
            return camera, partial(camera_deed, camera)
        if device.face == "mqtt-carpark":
            park = CarPark(capacity=device.carpark.capacity, inside=device.carpark.inside, tell=tell)
            self.watching[device.id] = park.sees
            return park, partial(carpark_deed, park)
        door = self.doors[device.id] = Entrance(seed=seed, traffic=device.traffic, tell=tell, event=event)
        return (
            door,
            lambda act: (
                door_deed(door, act)
                if act.controller is None
                else partial(_controller_deed, controller, device.door, act.controller)
            ),
        )

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
