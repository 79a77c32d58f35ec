"""How many requests a scan of each shipped profile takes: a figure that may only be changed on purpose."""

import pytest
import yaml

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.link import Link
from drivers.modbus.options import TcpLink
from edge.settings import load
from sitekeeper.data import data_path
from sitekeeper.model.clock import ManualClock

REQUESTS = {
    "sp-lift-1": [("input", 0, 32)],
    "lift-lmon": [("holding", 16, 19)],
    "sp-barrier-1": [("coil", 0, 3), ("discrete", 0, 16), ("holding", 0, 2), ("input", 0, 9)],
    "sp-io-16-fire": [("discrete", 0, 32), ("input", 16, 2)],
    "sp-io-16-gas": [("discrete", 0, 19), ("input", 16, 1)],
    "sp-io-16-water": [("discrete", 3, 18), ("input", 16, 1)],
    "came-gard-ptx": [("holding", 0, 11), ("coil", 0, 2), ("holding", 100, 10)],
    "notifier-modbus-gw": [("holding", 8999, 1)],
    "aqualeak-10k": [("input", 4, 5), ("input", 0, 3)],
    "igd-toc-635": [("input", 11, 1), ("input", 3011, 1)],
    "pemtech-pt495": [("holding", 0, 5)],
    "honeywell-midas": [("holding", 0, 10)],
    "sp-io-16-lift": [("discrete", 0, 29), ("input", 16, 2)],
    "arkel-arcode": [("coil", 655, 5)],
    "invertek-elevator-core": [("holding", 255, 4)],
    "eastron-sdm630": [("input", 0, 18), ("input", 52, 2), ("input", 70, 4)],
    "dfrobot-sen0644": [("holding", 2, 2)],
    "sonbest-km35b91": [("holding", 0, 1)],
    "sp-relay-8": [
        ("input", 6, 2),
        ("input", 22, 2),
        ("coil", 3, 1),
        ("discrete", 3, 1),
        ("discrete", 11, 1),
        ("input", 32, 1),
    ],
    "sp-lux-1": [("input", 32, 2)],
    "dali-group": [("holding", 13460, 1)],
    "dali-gear": [("holding", 7505, 2), ("holding", 7515, 1)],
    "dali-emergency": [
        ("holding", 7506, 1),
        ("holding", 7542, 1),
        ("holding", 7545, 1),
        ("holding", 7552, 1),
        ("holding", 7557, 1),
        ("holding", 7563, 3),
        ("holding", 7543, 2),
    ],
}
"""Table, address and count of each request, in order."""

PARTS = {
    "notifier-modbus-gw": "{register: 8999}",
    "igd-toc-635": "{sensor: 12}",
    "sp-relay-8": "{channel: 3}",
    "dali-group": "{channel: 1, group: 3}",
    "dali-gear": "{channel: 1, short_address: 5}",
    "dali-emergency": "{channel: 1, short_address: 5}",
}
"""Which part of its unit a device is, where a unit has several."""


def test_every_profile_is_pinned():
    """No Modbus profile is shipped without its figure here; those of BACnet have theirs in `test_bacnet_plan`.

    Over MQTT nothing is asked.
    """
    shipped = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in data_path("profiles").glob("*.yaml")}
    tables = {"coil", "discrete", "input", "holding"}
    modbus = {name for name, each in shipped.items() if any(tables & at.keys() for at in each["points"].values())}
    assert modbus == set(REQUESTS)


@pytest.mark.parametrize("profile", REQUESTS)
def test_requests(profile, tmp_path):
    """Each shipped profile is read by exactly these requests."""
    (tmp_path / "site.yaml").write_text(
        "site: {id: pinned, name: {en: Pinned}, timezone: Asia/Hong_Kong}\n"
        "links: {l: {driver: modbus-tcp, host: 127.0.0.1}}\n"
        f"devices: [{{id: d, profile: {profile}, link: l, unit: 1, with: {PARTS.get(profile, '{}')}}}]\n"
        f"outbox: {{path: {tmp_path / 'outbox.db'}}}\n"
    )
    (device,) = load(tmp_path).devices.values()
    driver = ModbusDriver(Link(TcpLink(host="127.0.0.1")), [device.read], ManualClock())
    made = [request for group in device.read.groups for request in driver.requests(group.id)]
    assert [(request.table, request.address, request.count) for request in made] == REQUESTS[profile]
