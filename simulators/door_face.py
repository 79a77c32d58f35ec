"""How two makers' door controllers look over MQTT: UHPPOTE boards behind uhppoted-mqtt, and esp-rfid.

    uhppoted/gateway/events/live    UHPPOTE: each event once, as it happens
    uhppoted/gateway/events         the same events once more, and those of the time without a broker
    uhppoted/gateway/requests/...   answered where the request says; only the state of a controller can be asked for

    <topic>/send, /tag, /io/...     esp-rfid in its Home Assistant mode; what happens without a broker is never told

Times are those of the controller's own clock: UHPPOTE's in letters without an offset, esp-rfid's in seconds since 1970.
"""

import json
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from simulators.controller import Body
from simulators.mqtt_face import ControllerFace, order_in
from simulators.mqtt_faults import Publication, encoded, outgoing
from simulators.mqtt_link import Session
from sitekeeper.model.clock import SECOND, Micros

GATEWAY: Final = "uhppoted/gateway"
STATUS: Final = f"{GATEWAY}/requests/device/status:get"
SWIPE, DOOR, ALARM = 1, 2, 3
"""Types of events."""
_TYPES: Final = {"read": SWIPE, "rex": DOOR, "door": DOOR, "alarm": ALARM, "system": ALARM}
BEAT: Final[Micros] = 60 * SECOND
"""How often esp-rfid says that it is there."""


class UhppoteFace(ControllerFace):
    """A board of up to four doors, and its gateway."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._replies: deque[tuple[str, Body]] = deque(maxlen=100)

    @property
    def topic(self) -> str:
        return f"{GATEWAY}/events/live"

    async def _subscribe(self, session: Session) -> None:
        await session.subscribe(STATUS)

    async def _tell_next(self, session: Session) -> bool:
        if self._silent:
            return False
        if self._replies:
            await session.publish(*_addressed(self._replies.popleft()))
        elif numbers := self._due_events(self._story()):
            await self._tell_events(session, numbers)
        else:
            return False
        return True

    async def _tell_events(self, session: Session, numbers: Sequence[int]) -> None:
        run = self.controller.runs
        for seq in numbers:
            if not self.controller.owes(seq, run):
                continue  # overwritten meanwhile
            told = self.controller.message(seq)
            body = {"message": {"event": self._event(told)}}
            for each in outgoing(self._take_fault(), Publication(self.topic, encoded(body)), told):
                if not told["buffered"]:
                    await session.publish(each.topic, each.payload, retain=each.retain)
                await session.publish(f"{GATEWAY}/events", each.payload, retain=each.retain)
            self.controller.acknowledged(seq, run)

    def _event(self, told: Body) -> Body:
        kind = told["kind"]
        return {
            "device-id": int(self.name),
            "event-id": told["seq"],
            "event-type": _TYPES[kind],
            "access-granted": bool(told.get("granted", kind in {"rex", "door"})),
            "door-id": told["door"],
            "direction": {"in": 1, "out": 2}.get(told.get("dir", ""), 0),
            "card-number": int(told.get("cred", 0)),
            "timestamp": in_letters(told["ts"]) if "ts" in told else "",
            "event-reason": told["reason"],
        }

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        request = order_in(payload).get("message", {}).get("request", {})
        if retained or topic != STATUS or request.get("device-id") != int(self.name):
            return
        doors = {str(number): self.controller.door_state(number) for number in self.controller.doors}
        status = {
            "door-buttons": dict.fromkeys(doors, False),
            "door-states": {number: state["state"] == "open" for number, state in doors.items()},
            "input-state": 0,
            "relay-state": 0,
            "special-info": 0,
            "system-datetime": in_letters(self.controller.stamp(self._story())),
            "system-error": 0,
        }
        reply = {
            "client-id": request.get("client-id"),
            "method": "get-status",
            "request-id": request.get("request-id"),
            "response": {"device-id": int(self.name), "status": status},
            "server-id": "uhppoted",
        }
        self._replies.append((str(request.get("reply-to")), {"message": {"reply": reply}}))


class EspFace(ControllerFace):
    """One reader with its door. Its topic is `rfid-` and its number."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._root = f"rfid-{self.name}"
        self._beat: Micros = 0

    @property
    def topic(self) -> str:
        return f"{self._root}/tag"

    async def _subscribe(self, session: Session) -> None:
        for seq in self.controller.unsent(self.controller.last):
            self.controller.acknowledged(seq, self.controller.runs)  # nobody was there: forgotten
        await session.subscribe(f"{self._root}/cmd")

    async def _tell_next(self, session: Session) -> bool:
        now = self._story()
        if self._silent:
            return False
        if self._beat <= now:
            kind = "heartbeat" if self._beat else "boot"
            self._beat = self._status_due = now + BEAT
            beat = {"type": kind, "time": self._seconds(now), "uptime": now // SECOND, "ip": "10.0.0.7"}
            await session.publish(f"{self._root}/send", encoded({**beat, "hostname": self._root}))
        elif numbers := self._due_events(now):
            await self._tell_events(session, numbers)
        else:
            return False
        return True

    async def _tell_events(self, session: Session, numbers: Sequence[int]) -> None:
        for seq in numbers:
            told = self.controller.message(seq)
            for topic, payload in self._said_of(told):
                sound = Publication(f"{self._root}/{topic}", payload)
                for each in outgoing(self._take_fault(), sound, told):
                    await session.publish(each.topic, each.payload, retain=each.retain)
            self.controller.acknowledged(seq, self.controller.runs)

    def _said_of(self, told: Body) -> list[tuple[str, bytes]]:
        match told["kind"]:
            case "read":
                access = "Always" if told["granted"] else "Disabled"
                at = round(datetime.fromisoformat(told["ts"]).timestamp())
                return [("tag", encoded({"uid": told["cred"], "username": "somebody", "access": access, "time": at}))]
            case "door" if told["state"] == "open":
                return [("io/door", b"ON")]
            case "door":
                return [("io/tamper", b"OFF"), ("io/door", b"OFF")]
            case "alarm":
                return [("io/tamper", b"ON")]
            case _:
                return []

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Obey nobody: what it would do is not answered and not confirmed."""

    def _seconds(self, now: Micros) -> int:
        return round(datetime.fromisoformat(self.controller.stamp(now)).timestamp())


def in_letters(stamp: str) -> str:
    """Return a time of the controller as UHPPOTE's gateway writes it: to the second, with letters for the zone."""
    return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M:%S} HKT"


def _addressed(reply: tuple[str, Body]) -> tuple[str, bytes]:
    return reply[0], json.dumps(reply[1], separators=(",", ":")).encode()
