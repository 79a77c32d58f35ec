"""The brokers that a gateway speaks to: its office's, and those of devices, over the one door to the MQTT library."""

from typing import TYPE_CHECKING, Final, Literal

from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Connect
from edge.settings.values import OfficeSettings
from edge.trust import keeping

if TYPE_CHECKING:  # at run time it is loaded only by a link that uses it
    from drivers.broker import Connect as FieldConnect


LARGEST: Final = 1 << 20
"""Bytes of one packet from a device's broker: nothing that a door says is longer, and 256 MB would be our end."""

WAITING: Final = 8 << 20
"""Bytes of messages from a device's broker that may wait: states, while events wait for the disk."""


def office_connect(site: str, office: OfficeSettings) -> Connect:
    """Return what connects this site to its office's broker."""
    settings = BrokerSettings(
        host=office.host,
        port=office.port,
        protocol=office.protocol,
        username=office.username or None,
        password=office.password or None,
        tls=office.tls,
        ca_file=None if office.ca is None else str(office.ca),
        cert_file=None if office.certificate is None else str(office.certificate),
        key_file=None if office.key is None else str(office.key),
        context=keeping.tls_context(office.trust),
    )
    return connector(settings, f"sitekeeper-{site}")


def real_brokers(
    *,
    host: str,
    port: int,
    username: str | None,
    password: str | None,
    ca: str | None,
    certificate: str | None,
    key: str | None,
    protocol: Literal["auto", "5", "3.1.1"],
    client_id: str,
    keepalive: int,
    unacknowledged: int,
) -> "FieldConnect":
    """Lend drivers what the uplink uses itself: `drivers.broker.Brokers` on the one door to the MQTT library."""
    settings = BrokerSettings(
        host=host,
        port=port,
        protocol=protocol,
        username=username,
        password=password,
        ca_file=ca,
        cert_file=certificate,
        key_file=key,
        keepalive=keepalive,
        session_expiry=7 * 86_400,  # what doors tell while this gateway is away for a long weekend is kept
        receive_maximum=unacknowledged,
        largest=LARGEST,
        waiting=WAITING,
    )
    return connector(settings, client_id, persistent=True)
