"""300 boxes join one office and call its broker, all at once."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Session
from cloud_sync.wire import down_topic, up_topic
from edge.trust import call
from edge.trust.folder import TrustFolder
from sitekeeper.enrolment import parse_code
from sitekeeper.model.clock import SystemClock
from tests.fixtures.enrolled import HOST, EnrolledOffice

pytestmark = pytest.mark.slow
GATEWAYS = 300


def join(code: str, folder: Path) -> None:
    parsed = parse_code(code)
    place = TrustFolder(folder)
    place.prepare()
    place.begin(parsed, *call.join(parsed, SystemClock().wall()))


async def connect(office: EnrolledOffice, folder: Path, site: str) -> Session:
    own = str(folder / "gateway.pem")
    files = {"ca_file": str(folder / "ca.pem"), "cert_file": own, "key_file": own}
    settings = BrokerSettings(host=HOST, port=office.broker_port, protocol="5", timeout=20, reach=20, **files)
    session = await connector(settings, f"sitekeeper-{site}")()
    await session.subscribe(down_topic(site, "receipt"))
    return session


async def test_300_gateways_join_and_call(tmp_path: Path) -> None:
    """Each box gets its own certificate through the listener, and the broker lets each write its own subtree alone."""
    office = EnrolledOffice(tmp_path)
    sites = [f"site-{number:03}" for number in range(GATEWAYS)]
    codes = {site: str(office.desk.invite(site)) for site in sites}
    listener = office.listener()
    with office.broker:
        listener.open()
        try:
            began = time.monotonic()
            with ThreadPoolExecutor(8) as boxes:
                list(boxes.map(lambda site: join(codes[site], tmp_path / "boxes" / site), sites))
            joined = time.monotonic() - began
        finally:
            await asyncio.to_thread(listener.close)
        keys = {(tmp_path / "boxes" / site / "gateway.pem").read_bytes() for site in sites}
        assert len(keys) == GATEWAYS
        began = time.monotonic()
        sessions: list[Session] = []
        try:
            for start in range(0, GATEWAYS, 50):
                batch = sites[start : start + 50]
                sessions += await asyncio.gather(*(connect(office, tmp_path / "boxes" / site, site) for site in batch))
            connected = time.monotonic() - began
            own = await asyncio.gather(
                *(s.publish(up_topic(site, "samples"), b"x") for s, site in zip(sessions, sites, strict=True))
            )
            other = await asyncio.gather(
                *(s.publish(up_topic(site, "samples"), b"x") for s, site in zip(sessions, sites[1:], strict=False))
            )
        finally:
            await asyncio.gather(*(session.close() for session in sessions))
    assert {*own} <= {0, 16}  # 16: taken, and nobody listens (MQTT 5, 3.4.2.1)
    assert {*other} == {135}
    told = f"{GATEWAYS} joins in {joined:.1f} s, {GATEWAYS} connections in {connected:.1f} s"
    print(told)
