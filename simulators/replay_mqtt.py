"""The messages of a file, published once and retained, as a broker keeps them; see `simulators.replay`."""

import json
from collections.abc import Mapping
from typing import Any

from simulators.mqtt_link import Connect, Will
from sitekeeper.model.errors import FormatError

WILL = Will(topic="sitekeeper/replay", payload=b"")
"""Says nothing to anybody: a device that is played back does not end."""


def messages(content: Mapping[str, Any], vector: int = 0) -> list[tuple[str, bytes]]:
    """Return topics and payloads of one vector of a file.

    Raises:
        FormatError: the file has no such vector, or is not of MQTT.
    """
    try:
        found = [(str(each[0]), _payload(each[1])) for each in content["vectors"][vector]["states"]]
    except (KeyError, IndexError, TypeError) as error:
        raise FormatError(f"no messages of a device in it: {error!r}") from error
    for topic, _ in found:
        if not topic or set(topic) & set("+#\0"):
            raise FormatError(f"{topic!r} is no topic: write one without + and #")
    if not found:
        raise FormatError("no messages of a device in it")
    return found


def _payload(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()


async def publish(said: list[tuple[str, bytes]], connect: Connect) -> None:
    """Publish all, the last one of a topic last; the broker keeps it.

    Raises:
        PeerUnreachable: the broker is not there.
    """
    session = await connect(WILL)
    try:
        for topic, payload in said:
            await session.publish(topic, payload, retain=True)
    finally:
        await session.close()
