"""Devices whose registers move with each reading, beside those of a virtual site: telemetry that fills an outage.

Each reading is numbered, and the number is what every moving register holds. So what was served is a list of numbers,
and the office has all of it, once and in order, if it has just that list for every point.
"""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from benchmarks.field import STEADY, Device, Link
from benchmarks.rig import profile
from sitekeeper.model.clock import SECOND, Micros
from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

FIRST: Final = 16
"""The first register that moves; those before it are a lift at rest, of which no rule says anything."""
HIGHEST: Final = 0x3FFF
"""Readings after which the number begins anew; no run here has so many."""


class Noted(Device):
    """A device that notes when it was read and what it said."""

    __slots__ = ("served",)

    def __init__(self, registers: int) -> None:
        data = bytearray(2 * registers)
        for at, value in STEADY.items():
            struct.pack_into(">H", data, 2 * at, value)
        super().__init__(data, list(range(FIRST, registers)))
        self.served: list[tuple[Micros, int]] = []

    def read(self, address: int, count: int) -> bytes:
        data = super().read(address, count)
        self.served.append((virtual.START + virtual.virtual_loop().now, self.count))
        return data


class Flowing:
    """Devices on one link. `points` of each move, all read every `scan`."""

    def __init__(self, devices: int, points: int, scan: str) -> None:
        self.registers, self.scan = FIRST + points, scan
        self.link = Link([Noted(self.registers) for _ in range(devices)])

    @property
    def rows(self) -> int:
        """Return how many samples were served."""
        return sum(len(device.served) for device in self.devices) * (self.registers - FIRST)

    @property
    def devices(self) -> list[Noted]:
        return [device for device in self.link.devices if isinstance(device, Noted)]

    def add_to(self, folder: Path) -> None:
        """Write the devices into a site folder."""
        path = folder / "site.yaml"
        site: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        at = {"host": "127.0.0.1", "port": self.link.port}
        site["links"]["flow"] = {"driver": "modbus-tcp", **at, "timeout": "1s"}
        for unit in range(1, len(self.link.devices) + 1):
            site["devices"].append({"id": f"flow-{unit}", "unit": unit, "profile": "bench-lift", "link": "flow"})
        path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
        (folder / "profiles").mkdir(exist_ok=True)
        (folder / "profiles" / "bench-lift.yaml").write_text(profile(self.registers, self.scan), encoding="utf-8")

    def wrong(self, site: VirtualSite) -> list[str]:
        """Return for which points the office does not have what was served, once each, in order, at its time."""
        found = []
        sql = """SELECT at, value FROM v_samples WHERE site = ? AND point = ? AND q < 64 ORDER BY epoch, sequence,
                 position"""
        for unit, device in enumerate(self.devices, 1):
            for register in range(FIRST, self.registers):
                point = f"flow-{unit}/m{register:02}"
                rows = site.rows(sql, virtual_site.SITE, point)
                # Of the map: even registers are tenths.
                told = [(row["at"], row["value"] if register % 2 else round(row["value"] * 10)) for row in rows]
                if [number for _, number in told] != [number for _, number in device.served]:
                    found.append(f"{point}: {len(device.served)} served, {len(told)} at the office")
                elif any(not 0 <= at - when < SECOND for (at, _), (when, _) in zip(told, device.served, strict=True)):
                    found.append(f"{point}: at another time")
        return found

    async def stop(self) -> None:
        """Be gone, as devices without power are."""
        self.link.down("refuse")


@asynccontextmanager
async def flowing(monkeypatch: pytest.MonkeyPatch, devices: int, points: int, scan: str) -> AsyncIterator[Flowing]:
    """Serve devices, and let every virtual site have them from now on."""
    made = Flowing(devices, points, scan)
    site_folder = virtual_site.site_folder

    def with_them(folder: Path, *rest: Any, **more: Any) -> Path:
        written = site_folder(folder, *rest, **more)
        made.add_to(written)
        return written

    await made.link.up()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(virtual_site, "site_folder", with_them)
            yield made
    finally:
        await made.stop()
