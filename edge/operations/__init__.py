"""What can be asked of a running gateway: operations behind `edge.socket_api`, each an async iterator of items.

Items are plain dictionaries of words and numbers, the same that `--json` shows. Ages are in seconds, times RFC 3339.
"""

from edge.operations import (
    alarms,
    audit,
    devices,
    drills,
    held_alarms,
    lighting,
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
        **points.operations(gateway),
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
