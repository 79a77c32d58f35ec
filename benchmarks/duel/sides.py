"""How each product is configured and started. Both get the same devices, period, time-out and broker.

The peer's settings are the best that its pages and its code offer for this: SQLite storage, rate limits off, QoS 1,
large packets, time-out 1 s and no retries (its shipped sample waits 35 s and retries three times), a connection attempt
at once and again after a second. Where it has no setting, it has its default.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from simulators.stage import Stage, program, sk, write

TIMEOUT_S: Final = 1
PEER: Final = Path(sys.prefix).parent / ".venv-duel" / "bin" / "thingsboard-gateway"


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What is read: `units` devices on each link, `tags` serial numbers each, once a second."""

    links: int = 20
    units: int = 5
    tags: int = 20
    dead: Sequence[int] = ()
    latency: float = 0.0


class Side(Protocol):
    """One contestant. `port` is where it finds the broker."""

    name: str

    async def start_centre(self, stage: Stage, broker: int) -> None:
        """Start what receives at the centre."""

    def configure(self, folder: Path, devices: Devices, ports: Sequence[int], broker: int) -> None:
        """Write the gateway's configuration."""

    async def start_gateway(self, stage: Stage) -> None:
        """Start the gateway as the process `gateway`."""

    def check(self, folder: Path) -> list[str]:
        """Return the checker's arguments that say where the centre's record is."""


class Ours:
    """Sitekeeper with the default settings of outbox and uplink; the office commits to SQLite."""

    name = "Sitekeeper"

    async def start_centre(self, stage: Stage, broker: int) -> None:
        text = f"""store: {{path: {stage.folder / "office.db"}}}
broker: {{host: 127.0.0.1, port: {broker}, protocol: "5"}}
socket: {{path: {stage.folder / "office.sock"}}}
routes: {{}}
"""
        config = write(stage.folder / "office" / "office.yaml", text)
        await stage.start("centre", *sk("office", "run", "--config", str(config)), file=stage.folder / "office.sock")

    def configure(self, folder: Path, devices: Devices, ports: Sequence[int], broker: int) -> None:
        site = folder / "site"
        tags = "".join(
            f"  t{n}: {{holding: {2 * n}, type: uint32, order: ABCD, own: {{type: int}}, scan: 1s}}\n"
            for n in range(devices.tags)
        )
        alarm = f"  fire.alarm: {{holding: {2 * devices.tags}, bool: {{true: 1, false: 0}}, scan: 1s}}\n"
        write(
            site / "profiles" / "duel.yaml",
            f"profile: duel\nclass: fire\nevidence: designed\npoints:\n{tags}{alarm}",
        )
        names = "{en: Duel, zh-Hant: 對決, zh-Hans: 对决}"
        write(
            site / "rules" / "duel.yaml",
            f"- {{id: D01, class: fire, name: {names}, when: fire.alarm, priority: P2, off_delay: 0s}}\n",
        )
        way = f"driver: modbus-tcp, host: 127.0.0.1, timeout: {TIMEOUT_S}s"
        links = "".join(f"  l{n}: {{{way}, port: {port}}}\n" for n, port in enumerate(ports))
        each = "".join(
            f"  - {{id: d{link}-{unit}, profile: duel, link: l{link}, unit: {unit}}}\n"
            for link in range(devices.links)
            for unit in range(1, devices.units + 1)
        )
        write(
            site / "site.yaml",
            f"site: {{id: duel, timezone: UTC}}\nlinks:\n{links}devices:\n{each}rules: {{packs: []}}\n"
            f'outbox: {{path: outbox.db}}\noffice: {{broker: "mqtt://127.0.0.1:{broker}", protocol: "5"}}\n',
        )

    async def start_gateway(self, stage: Stage) -> None:
        socket = stage.folder / "gateway.sock"
        socket.unlink(missing_ok=True)
        command = sk("run", "--site", str(stage.folder / "site"), "--socket", str(socket))
        await stage.start("gateway", *command, file=socket)

    def check(self, folder: Path) -> list[str]:
        return ["--sql", str(folder / "office.db")]


class Theirs:
    """ThingsBoard Gateway with its SQLite storage; a subscriber is its centre."""

    name = "ThingsBoard Gateway"

    async def start_centre(self, stage: Stage, broker: int) -> None:
        arrived = stage.folder / "arrived.jsonl"
        command = [*program("benchmarks.duel.centre"), "--port", str(broker), "--file", str(arrived)]
        await stage.start("centre", *command, file=arrived)

    def configure(self, folder: Path, devices: Devices, ports: Sequence[int], broker: int) -> None:
        config = folder / "config"
        settings: dict[str, Any] = {
            "thingsboard": {
                "host": "127.0.0.1", "port": broker, "remoteShell": False, "remoteConfiguration": False,
                "statistics": {"enable": False}, "deviceFiltering": {"enable": False, "filterFile": "list.json"},
                "maxPayloadSizeBytes": 65_536, "minPackSendDelayMS": 50, "minPackSizeToSend": 500,
                "checkConnectorsConfigurationInSeconds": 60, "handleDeviceRenaming": False,
                "security": {"type": "accessToken", "accessToken": "duel"}, "qos": 1,
                "reportStrategy": {"type": "ON_RECEIVED"},
                "checkingDeviceActivity": {"checkDeviceInactivity": False},
                "rateLimits": "0:0,", "dpRateLimits": "0:0,", "messagesRateLimits": "0:0,",
                "deviceMessagesRateLimits": "0:0,", "deviceRateLimits": "0:0,", "deviceDpRateLimits": "0:0,",
            },
            "storage": {
                "type": "sqlite", "data_file_path": f"{folder}/data/", "messages_ttl_check_in_hours": 1,
                "messages_ttl_in_days": 7, "max_read_records_count": 1000, "writing_batch_size": 1000,
                "size_limit": 1024, "max_db_amount": 10, "oversize_check_period": 1,
            },
            "grpc": {"enabled": False},
            "connectors": [{"type": "modbus", "name": "Modbus", "configuration": "modbus.json"}],
        }  # fmt: skip
        slaves = [
            self._slave(port, link, unit, devices.tags)
            for link, port in enumerate(ports)
            for unit in range(1, devices.units + 1)
        ]
        write(config / "tb_gateway.json", json.dumps(settings))
        write(config / "modbus.json", json.dumps({"master": {"slaves": slaves}, "logLevel": "NONE"}))
        write(config / "list.json", "{}")
        write(config / "connected_devices.json", "{}")
        quiet = {"version": 1, "disable_existing_loggers": False, "root": {"handlers": [], "level": "ERROR"}}
        write(config / "logs.json", json.dumps(quiet | {"handlers": {}, "formatters": {}, "loggers": {}}))
        (folder / "logs").mkdir(exist_ok=True)

    @staticmethod
    def _slave(port: int, link: int, unit: int, tags: int) -> dict[str, Any]:
        series = [
            {"tag": f"t{n}", "type": "32uint", "functionCode": READ, "objectsCount": 2, "address": 2 * n}
            for n in range(tags)
        ]
        alarm = {"tag": "alarm", "type": "16uint", "functionCode": READ, "objectsCount": 1, "address": 2 * tags}
        return {
            "host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "unitId": unit,
            "deviceName": f"d{link}-{unit}", "deviceType": "default", "timeout": TIMEOUT_S, "byteOrder": "BIG",
            "wordOrder": "BIG", "retries": 0, "retryOnEmpty": False, "retryOnInvalid": False, "pollPeriod": 1_000,
            "connectAttemptTimeMs": 1_000, "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 1_000,
            "attributes": [], "timeseries": [*series, alarm], "attributeUpdates": [], "rpc": [],
        }  # fmt: skip

    async def start_gateway(self, stage: Stage) -> None:
        environment = [f"TB_GW_CONFIG_DIR={stage.folder}/config/"]
        # It writes its logs into the folder that it is started in.
        await stage.start(
            "gateway", "/usr/bin/env", "-C", str(stage.folder), *environment, str(PEER), file=stage.folder / "config"
        )

    def check(self, folder: Path) -> list[str]:
        return ["--file", str(folder / "arrived.jsonl")]


READ: Final = 3
SIDES: Final[tuple[type[Ours] | type[Theirs], ...]] = (Ours, Theirs)
