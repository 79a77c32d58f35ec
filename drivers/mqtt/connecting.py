"""What a link's options come to: how its broker is reached, and what is asked for there again and again."""

import hashlib
from collections.abc import Sequence

import msgspec

from drivers.base import DeviceRead, Services
from drivers.broker import Connect
from drivers.mqtt.options import MqttDevice, MqttLink
from sitekeeper.model.clock import SECOND, Micros


def connect_to(link_id: str, link: MqttLink, port: int, services: Services) -> Connect | None:
    """Return what connects to the broker; None if this process was given no connections."""
    if services.brokers is None:
        return None
    own = hashlib.blake2b(link_id.encode(), digest_size=4, key=services.salt[:64]).hexdigest()
    return services.brokers(
        host=link.host,
        port=port,
        username=link.username,
        password=link.password,
        ca=link.tls.ca if link.tls else None,
        certificate=link.tls.certificate if link.tls else None,
        key=link.tls.key if link.tls else None,
        protocol=link.protocol,
        client_id=link.client_id or f"sitekeeper-{link_id}-{own}",
        keepalive=link.keepalive // SECOND,
        unacknowledged=link.unacknowledged,
    )


def polls_of(devices: Sequence[DeviceRead]) -> list[tuple[str, bytes, Micros]]:
    """Return topic, payload and period of each message by which devices are asked to tell, every one once."""
    options = [device.options for device in devices]
    polls = [each.poll for each in options if isinstance(each, MqttDevice) and each.poll is not None]
    return list(dict.fromkeys((each.topic, msgspec.json.encode(each.json_body), each.every) for each in polls))
