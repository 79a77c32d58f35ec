"""`mqtts://` means TLS: a site and its office over a broker that speaks nothing else and asks for certificates."""

from pathlib import Path

import pytest

from edge.brokers import office_connect
from edge.settings.values import OfficeSettings
from office.central import lanes
from office.settings import Broker
from sitekeeper.model.errors import PeerUnreachable, Refused
from tests.fixtures.mosquitto import Authority, Mosquitto

pytestmark = pytest.mark.slow


def site(port: int, **more: Path) -> OfficeSettings:
    return OfficeSettings(host="127.0.0.1", port=port, tls=True, protocol="5", **more)


async def test_site_and_office_over_tls_with_client_certificates(tmp_path: Path) -> None:
    """What the site publishes arrives at the office; without a certificate of the right authority nobody gets in."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.sign("broker", host="IP:127.0.0.1")
    own, own_key = ours.sign("site")
    more = f"cafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\nallow_anonymous true"
    with Mosquitto(tmp_path, more) as broker:
        files = {"ca_file": str(ours.ca), "cert_file": str(own), "key_file": str(own_key)}
        office = await lanes(Broker(host="127.0.0.1", port=broker.port, **files))["urgent"]()
        up = await office_connect("hq", site(broker.port, ca=ours.ca, certificate=own, key=own_key))()
        try:
            await office.subscribe("up")
            assert await up.publish("up", b"fact") == 0
            assert (await office.receive()).payload == b"fact"
        finally:
            await up.close()
            await office.close()
        for settings in (
            site(broker.port),  # the machine trusts no such authority
            site(broker.port, ca=theirs.ca, certificate=own, key=own_key),
            site(broker.port, ca=ours.ca),
        ):
            with pytest.raises((PeerUnreachable, Refused)):
                await office_connect("hq", settings)()
