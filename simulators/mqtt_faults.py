"""What goes out instead of a sound event when a controller is wrong. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulators.faults import Fault, FaultKind


@dataclass(frozen=True, slots=True)
class Publication:
    """One message to publish."""

    topic: str
    payload: bytes
    retain: bool = False


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return JSON as small controllers write it."""
    return json.dumps(body, separators=(",", ":")).encode()


def outgoing(fault: Fault | None, sound: Publication, event: Mapping[str, Any]) -> list[Publication]:
    """Return what to publish for an event: `sound`, and what the fault puts before it or makes of it.

    Rubbish comes in addition, so that the event itself is still told once. Only `lose` swallows it: the controller
    takes it for sent, and has it when asked.
    """
    match fault.kind if fault else None:
        case FaultKind.LOSE:
            return []
        case FaultKind.TWICE if fault:
            return [sound] * (1 + fault.count)
        case FaultKind.RETAINED:
            return [replace(sound, retain=True)]
        case FaultKind.GARBAGE if fault:
            rubbish = bytes(0xA5 ^ place & 0xFF for place in range(fault.count))
            return [replace(sound, payload=rubbish), sound]
        case FaultKind.WRONG_TYPES:
            wrong = {**event, "seq": str(event["seq"]), "ts": 17, "door": [event["door"]], "granted": "yes"}
            return [replace(sound, payload=encoded(wrong)), sound]
        case FaultKind.HUGE if fault:
            huge = {"v": 1, "kind": "note", "text": "x" * (fault.count * 1024)}
            return [replace(sound, payload=encoded(huge)), sound]
        case FaultKind.BABBLE if fault:
            noise = ({"v": 1, "kind": "note", "n": number} for number in range(fault.count))
            return [*(replace(sound, payload=encoded(each)) for each in noise), sound]
        case _:
            return [sound]
