"""What can be asked of a running gateway: operations behind `edge.socket_api`, each an async iterator of items.

Items are plain dictionaries of words and numbers, the same that `--json` shows. Ages are in seconds, times RFC 3339.

gateway                         the parts that all of them speak of
status, stats, audit, why       the gateway as a whole; how good its alarms are; who asked for what; one point's way
devices, dump, points           what is read, its last words, and what may be written
bus, mqtt                       links: their frames; what of unasked words could not be used
alarms, held_alarms             alarms and moves on them; audience and tellings: who may know, who was told
drills, lighting, muster, rules drills, tests of emergency lights, who is inside, rules at work
"""

from edge.operations import (
    alarms,
    audit,
    bus,
    devices,
    drills,
    dump,
    held_alarms,
    lighting,
    mqtt,
    muster,
    points,
    rules,
    stats,
    status,
    why,
)
from edge.operations.gateway import Gateway, rfc3339
from edge.socket_api import Operation

__all__ = ["Gateway", "rfc3339", "table"]


def table(gateway: Gateway) -> dict[str, Operation]:
    """Return all operations on `gateway` by name."""
    return {
        **status.operations(gateway),
        **devices.operations(gateway),
        **dump.operations(gateway),
        **points.operations(gateway),
        **bus.operations(gateway),
        **mqtt.operations(gateway),
        **alarms.operations(gateway),
        **held_alarms.operations(gateway),
        **drills.operations(gateway),
        **stats.operations(gateway),
        **lighting.operations(gateway),
        **muster.operations(gateway),
        **rules.operations(gateway),
        **audit.operations(gateway),
        **why.operations(gateway),
    }
