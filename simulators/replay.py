"""A device that says what a file holds, and nothing else: what `sk device dump` took away, played back.

A Modbus unit answers with its words, a BACnet device with its octets; messages are published once, retained.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click

from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.maps import Map
from simulators.modbus_face import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, Answer, Refusal, Registers
from simulators.replay_bacnet import Replay as Device
from simulators.replay_bacnet import octets
from simulators.replay_mqtt import messages, publish
from sitekeeper.model.clock import Clock, Micros, SystemClock
from sitekeeper.model.errors import FormatError

TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
"""By the function that reads them."""


class Replay:
    """Words by table and address, which stand still; a request for any other is refused. `modbus_face.Face`."""

    map: Map = {}
    checks_crc = True
    identity = None
    writes = frozenset[int]()

    def __init__(self, words: Mapping[str, Mapping[int, int]]) -> None:
        self._words = words

    def live(self, at: Micros) -> None:
        """Nothing ever changes."""

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:  # noqa: ARG002
        there = self._words.get(TABLES.get(function, ""), {})
        wanted = range(address, address + count)
        if not all(each in there for each in wanted):
            return Refusal(ILLEGAL_ADDRESS)
        return Registers(address, tuple(there[each] for each in wanted), None)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002
        return Refusal(ILLEGAL_FUNCTION)


def words(content: Mapping[str, Any], vector: int = 0) -> dict[str, dict[int, int]]:
    """Return what one vector of a file holds, by table and address.

    Raises:
        FormatError: the file has no such vector, or its words are none.
    """
    try:
        held = dict(content["vectors"][vector])
        if "words" in held and "table" in content:
            held[content["table"]] = {content["start"]: held["words"]}
        found = {table: dict(_each(table, held[table])) for table in TABLES.values() if table in held}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no words of a device in it: {error!r}") from error
    if not any(found.values()):
        raise FormatError("no words of a device in it")
    return found


def _each(table: str, written: Any) -> Iterator[tuple[int, int]]:
    """Yield addresses and what is there: by address one or a list, or a list or a row of bits from address 0 on."""
    most = 1 if table in ("coil", "discrete") else 0xFFFF
    for key, value in written.items() if isinstance(written, Mapping) else [("0", written)]:
        row = list("".join(value.split())) if isinstance(value, str) and written is value else value
        for at, word in enumerate(row if isinstance(row, list) else [row], int(key)):
            number = int(str(word), 0)
            if not 0 <= at <= 0xFFFF:
                raise FormatError(f"{table} {at}: write an address from 0 to 65535")
            if not 0 <= number <= most:
                raise FormatError(f"{table} {at} is {word}: write a number from 0 to {most}")
            yield at, number


def server(path: Path, clock: Clock, *, unit: int, port: int, host: str = "127.0.0.1") -> FrameServer:
    """Return a server, not yet started, of the words in a file.

    Raises:
        FormatError: it is no such file. OSError: it cannot be read.
    """
    face = Replay(words(_content(path)))
    return FrameServer(
        {unit: Unit(device=path.stem, face=face)}, clock=clock, story=clock.monotonic, journal=Journal.open(None),
        host=host, port=port,
    )  # fmt: skip


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} is no file of sk device dump")
    return content


def _has(content: Mapping[str, Any], key: str) -> bool:
    vectors = content.get("vectors")
    return isinstance(vectors, list) and bool(vectors) and isinstance(vectors[0], dict) and key in vectors[0]


@asynccontextmanager
async def serving(path: Path, *, unit: int, port: int, broker: tuple[str, int] | None) -> AsyncIterator[str]:
    """Serve a file while the context is open, and give where.

    Args:
        unit: as which Modbus unit. broker: where messages are published; port: where all else is served.

    Raises:
        FormatError: it is no such file, or one of messages and there is no broker. PeerUnreachable: no broker there.
        OSError: it cannot be read, or the port is taken.
    """
    content = _content(path)
    if _has(content, "states"):
        if broker is None:
            raise FormatError(f"{path} is of a device on MQTT: write --broker HOST:PORT")
        from simulators.mqtt_link import brokers  # which brings in the library

        await publish(messages(content), brokers(*broker)("sk-replay"))
        yield f"{broker[0]}:{broker[1]}"
    elif _has(content, "octets"):
        device, properties = octets(content)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Device(device, properties), local_addr=("127.0.0.1", port)
        )
        try:
            yield "{}:{} device {}".format(*transport.get_extra_info("sockname"), device)
        finally:
            transport.close()
            await asyncio.sleep(0)  # only then its socket is closed
    else:
        frames = server(path, SystemClock(), unit=unit, port=port)
        await frames.start()
        try:
            yield f"{frames.host}:{frames.port}"
        finally:
            await frames.close()


async def live(path: Path, *, unit: int, port: int, broker: tuple[str, int] | None = None) -> int:
    """Serve a file until Ctrl-C or SIGTERM; print its name and its address, and return the exit code.

    Raises:
        FormatError, PeerUnreachable, OSError: as `serving`.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(path, unit=unit, port=port, broker=broker) as where:
        click.echo(f"{path.stem}\t{where}")
        await stopped.wait()
    return 0
