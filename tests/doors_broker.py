"""What the doors' broker says in its own log of what was on its way when somebody died: a witness that is none of ours.

mosquitto logs each packet. An event that it has sent to the gateway and that the gateway has not acknowledged when its
connection ends was at risk: a gateway that had already told the controller "done" would have lost it.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Final

MOSQUITTO: Final = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval {autosave}
max_queued_messages 20000
max_inflight_messages 100
user root
log_type all
log_dest stderr
"""
"""Settings of a broker that keeps what it has acknowledged, but writes it down only every `autosave` seconds."""

GATEWAY: Final = "sitekeeper-doors-"
"""How the gateway calls itself on the link `doors`."""

_SENT: Final = re.compile(rf"Sending PUBLISH to {GATEWAY}\S+ \(d(\d), q1, r0, m(\d+), '[^']*/event'")
_ANSWERED: Final = re.compile(rf"Received PUBACK from {GATEWAY}\S+ \(Mid: (\d+)")
_GONE: Final = re.compile(
    rf"Client {GATEWAY}\S+ (closed its connection|disconnected|has exceeded)|error on client {GATEWAY}"
)
_SUBSCRIBED: Final = re.compile(rf" {GATEWAY}\S+ 1 (\S+/event)$")
_BEGUN: Final = re.compile(r"mosquitto version \S+ starting")

BY_GATEWAY: Final = "events unacknowledged when the gateway died"
BY_BROKER: Final = "events unacknowledged when the doors' broker died"
AGAIN: Final = "events that the doors' broker sent again"


def at_risk(log: Path) -> Counter[str]:
    """Return what was at risk by the log of a broker: events under way at each end of a connection, and repeats."""
    risk = Counter({BY_GATEWAY: 0, BY_BROKER: 0, AGAIN: 0})
    under_way: set[str] = set()
    for line in log.read_text(errors="replace").splitlines():
        if sent := _SENT.search(line):
            under_way.add(sent[2])
            risk[AGAIN] += sent[1] == "1"
        elif answered := _ANSWERED.search(line):
            under_way.discard(answered[1])
        elif _GONE.search(line) or _BEGUN.search(line):
            risk[BY_BROKER if _BEGUN.search(line) else BY_GATEWAY] += len(under_way)
            under_way.clear()
    return risk


def gateway_listens(log: Path) -> set[str]:
    """Return the topics of events to which the gateway has subscribed since the broker began and it came."""
    topics: set[str] = set()
    for line in log.read_text(errors="replace").splitlines():
        if subscribed := _SUBSCRIBED.search(line):
            topics.add(subscribed[1])
        elif _GONE.search(line) or _BEGUN.search(line):
            topics.clear()
    return topics
