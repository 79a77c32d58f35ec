"""`sk discover` at servers that behave well and at such as do not, on sockets and on a serial line."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from drivers.modbus.link import Link
from drivers.modbus.options import TcpLink
from edge.cli import discover_modbus
from edge.cli.discover import discover
from edge.discover import lines, units
from edge.discover.bacnet import Asked, search
from edge.discover.profiles import blanks, shipped
from edge.settings import load
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown
from tests.fixtures.bacnet_peers import free_port, rusty_device
from tests.integration.test_modbus_serial import line
from tests.sk import SK, Said, sk

Script = Callable[[int, bytes], bytes | None]
"""(unit, request from its function on) -> the answer from its function on; None for silence."""
CLOSE = b""
PATIENCE = (150 * MS, SECOND, 5 * SECOND)


class Server:
    """A Modbus TCP server by a script; a silent request jams the connection if `jams`."""

    def __init__(self, script: Script, *, jams: bool = False) -> None:
        self.script, self.jams = script, jams
        self.asked: list[tuple[int, int]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        jammed = False
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6]) - 1)
                self.asked.append((head[6], pdu[0]))
                answer = None if jammed else self.script(head[6], pdu)
                jammed = jammed or (answer is None and self.jams)
                if answer == CLOSE:
                    break
                if answer is not None:
                    writer.write(head[:4] + (len(answer) + 1).to_bytes(2) + head[6:] + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(script: Script, *, jams: bool = False) -> AsyncIterator[tuple[Server, TcpLink]]:
    server = Server(script, jams=jams)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield server, TcpLink.model_validate({"host": "127.0.0.1", "port": port, "timeout": "150ms"})
    finally:
        listening.close()
        await asyncio.sleep(0.05)


def register(value: int) -> bytes:
    return b"\x03\x02" + value.to_bytes(2)


def exception(pdu: bytes, code: int) -> bytes:
    return bytes([pdu[0] | 0x80, code])


NAMED = b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x04ACME\x01\x03LM1"


async def searched(
    link: TcpLink, expected: list[tuple[int, str]], last: int = 4, *, identify: bool = True
) -> lines.Found:
    """Search; and with more patience if not all were found, for this machine may stall for longer than a time-out."""
    for timeout in PATIENCE:
        patient = link.model_copy(update={"timeout": timeout})
        found = await lines.search_tcp(patient, range(1, last + 1), "holding", identify=identify, most=60)
        if there(found) == expected:
            break
    return found


def there(found: lines.Found) -> list[tuple[int, str]]:
    return [(each.unit, each.state) for each in found.verdict.there]


async def test_units_that_answer_are_found_and_asked_what_they_are(no_leaked_tasks):
    """A value and a refusal are signs of a unit, silence is not; who has an identification gives it."""

    def script(unit: int, pdu: bytes) -> bytes | None:
        if pdu[0] == 0x2B:
            return NAMED if unit == 1 else exception(pdu, 1)
        return register(7) if unit == 1 else exception(pdu, 2) if unit == 3 else None

    async with serving(script) as (server, link):
        found = await searched(link, [(1, "answers"), (3, "refused")])
    assert there(found) == [(1, "answers"), (3, "refused")]
    assert [each.identity for each in found.verdict.there] == [{"vendor": "ACME", "product": "LM1"}, {}]
    assert {function for _, function in server.asked} == {3, 0x2B}


async def test_a_server_for_any_unit_is_found_out_and_not_asked_for_all(no_leaked_tasks):
    """It answers where nothing can be: one device, and the other units are not asked at all."""
    async with serving(lambda unit, pdu: register(7) if pdu[0] == 3 else exception(pdu, 1)) as (server, link):
        found = await searched(link, [(1, "answers")], 200)
    assert (found.verdict.any_unit, there(found)) == (True, [(1, "answers")])
    assert [unit for unit, function in server.asked if function == 3] == [*units.STRANGERS, 1]


async def test_the_exception_of_absent_units_is_told_from_that_of_real_ones(no_leaked_tasks):
    """A server that refuses every unit it lacks with exception 4 has only those that answer otherwise."""
    async with serving(lambda unit, pdu: register(7) if (unit, pdu[0]) == (2, 3) else exception(pdu, 4)) as (_, link):
        found = await searched(link, [(2, "answers")])
    assert (there(found), found.verdict.absent) == ([(2, "answers")], 4)


async def test_a_server_that_jams_is_told_and_costs_nobody_else(no_leaked_tasks):
    """After the request for its identification it says nothing on that connection; each unit has one of its own."""

    def script(unit: int, pdu: bytes) -> bytes | None:
        return None if pdu[0] == 0x2B else register(7) if unit in (1, 2) else exception(pdu, 11)

    async with serving(script, jams=True) as (_, link):
        both = [(1, "answers"), (2, "answers")]
        found = await searched(link, both)
        quiet = await searched(link, both, identify=False)
    assert [(each.unit, each.jammed) for each in found.verdict.there] == [(1, True), (2, True)]
    assert not any(each.jammed for each in quiet.verdict.there)


async def test_a_server_that_closes_for_units_it_lacks_is_gone_on_with(no_leaked_tasks):
    """The connection is opened anew for each, and those that are there are found."""
    async with serving(lambda unit, pdu: register(7) if unit == 3 else CLOSE) as (_, link):
        found = await searched(link, [(3, "answers")], identify=False)
    assert (there(found), found.error) == ([(3, "answers")], None)


async def test_nobody_listens(no_leaked_tasks):
    """No connection is no silence: it is told as such, and asked once."""
    found = await searched(TcpLink.model_validate({"host": "127.0.0.1", "port": 1, "timeout": "150ms"}), [])
    assert isinstance(found.error, LinkDown)
    assert (len(found.strangers), found.asked) == (1, [])


async def test_a_network_is_knocked_at(no_leaked_tasks):
    """Of several addresses those are kept whose server takes a connection."""
    async with serving(lambda unit, pdu: register(1)) as (_, link):
        dead = TcpLink.model_validate({"host": "127.0.0.1", "port": 1, "timeout": "150ms"})
        assert await lines.answering([dead, link, dead]) == [link]


def test_a_unit_that_names_its_profile_gets_it_pasted():
    """In the table, in the lines to paste and in JSON; beside it one that no profile knows stays to be filled in."""
    known = units.Unit(1, b"\0\7", identity={"vendor": "Sitekeeper neutral map", "product": "sp-lift-1"})
    strange = units.Unit(2, b"\0\7", identity={"vendor": "ACME", "product": "LM1"})
    found = lines.Found(asked=[known, strange], link=TcpLink.model_validate({"host": "h"}))
    runner = CliRunner()
    said, machine_ = (runner.invoke(_shown_by(found, as_json=as_json)) for as_json in (False, True))
    assert "unit: 1}" in said.stdout
    assert [each["profile"] for each in yaml.safe_load(said.stdout.partition("\n\n")[2])["devices"]] == [
        "sp-lift-1", "PROFILE",
    ]  # fmt: skip
    assert said.stdout.splitlines()[1].endswith("sp-lift-1")
    assert "no profile for ACME LM1; nearest by name: none" in said.stderr
    assert "arkel" not in said.output
    rows = Said(machine_.exit_code, machine_.stdout, machine_.stderr).envelope()["data"]["found"]
    assert [(row["profile"], row["nearest"]) for row in rows] == [("sp-lift-1", "sp-lift-1"), (None, None)]


def _shown_by(found: lines.Found, *, as_json: bool) -> click.Command:
    return click.Command("shown", callback=lambda: discover_modbus._shown("x", [found], as_json=as_json, lang="en"))


# --- a serial line


def ways(port: Path) -> list:
    return [units.rtu_link(str(port), way, "150ms") for way in ((9600, "8N1"), (19200, "8E1"))]


async def test_a_unit_on_a_serial_line_is_found(tmp_path, no_leaked_tasks):
    """The first way in which somebody answers ends the search."""
    tried = []
    async with line(tmp_path) as (adapter, _):
        for _ in PATIENCE:
            tried.clear()
            found = await lines.search_rtu(ways(adapter.name), [1, 2], lambda link: tried.append(link.baudrate))
            if tried == [9600]:
                break
    assert (there(found), tried) == ([(1, "answers")], [9600])
    assert (found.link.baudrate, found.link.framing) == (9600, "8N1")


async def test_a_line_that_the_gateway_has_open_is_left_alone(tmp_path):
    """The command names the program that holds the port, and sends nothing."""
    async with line(tmp_path) as (adapter, _):
        holder = Link(ways(adapter.name)[0])
        await holder.open()
        said = await asyncio.to_thread(sk, "discover", "modbus-rtu", str(adapter.name), "--units", "1-2", "--json")
        holder.close()
    (problem,) = said.envelope()["problems"]
    assert (said.code, problem["code"]) == (5, "held")
    assert f"(pid {os.getpid()})" in problem["message"]


# --- BACnet without broadcasts


async def test_a_bacnet_device_is_found_by_its_address(no_leaked_tasks):
    """A device of another make, by a sweep of one address: who it is, what it has, and lines that can be pasted."""
    async with rusty_device() as (_, port):
        for wait in (0.3, 3.0, 8.0):
            asked = Asked(own=IPv4Interface("127.0.0.1/8"), port=port, sweep=IPv4Network("127.0.0.1/32"), wait=wait)
            found = await search(asked)
            if found.devices and found.devices[0].error is None:
                break
    (heard,) = found.heard
    assert (heard.instance, heard.address, found.devices[0].identity["vendor"]) == (
        1300, f"127.0.0.1:{port}", "Rusty BACnet",
    )  # fmt: skip
    ids = [each["id"] for each in yaml.safe_load(found.yaml)["devices"]]
    assert ids == ["lift-1", "escalator-1", "lamp-1", "door-1"]


class Bbmd(asyncio.DatagramProtocol):
    """Answers registrations with a result code, or not at all; keeps what came."""

    def __init__(self, code: int | None) -> None:
        self.code, self.came = code, list[bytes]()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.append(data)
        if self.code is not None and data[1] == 5:
            self.transport.sendto(b"\x81\x00\x00\x06" + self.code.to_bytes(2), addr)


@pytest.mark.parametrize(
    ("code", "error", "functions"), [(0, type(None), [5, 9]), (0x30, DeviceRefused, [5]), (None, DeviceSilent, [5] * 3)]
)
async def test_a_bbmd_takes_us_refuses_or_says_nothing(code, error, functions, no_leaked_tasks):
    """Registered, it is asked to broadcast; refused or unanswered, nothing more is sent to it."""
    bbmd = Bbmd(code)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: bbmd, ("127.0.0.1", 0))
    place = transport.get_extra_info("sockname")
    try:
        found = await search(Asked(own=IPv4Interface("127.0.0.1/8"), port=free_port(), bbmd=place, wait=0.1))
    finally:
        transport.close()
    assert isinstance(found.error, error)
    came = [data[1] for data in bbmd.came]
    assert (came if code is None else sorted(set(came))) == functions


# --- the command


def run(*words: str) -> Result:
    return CliRunner().invoke(discover, [*words, "--lang", "en"] if "--lang" not in words else words)


def test_it_says_what_it_would_send_and_sends_nothing() -> None:
    """Each kind with --plan: the time altogether is said, the exit code is 0, and nobody has to be there."""
    for words in (
        ("bacnet", "--range", "10.9.8.0/24", "--interface", "10.9.8.1/24"),
        ("modbus-tcp", "10.9.8.7", "--units", "1-20"),
        ("modbus-rtu", "/dev/serial/by-id/none"),
        ("mqtt", "10.9.8.7"),
    ):
        said = run(*words, "--plan")
        assert (said.exit_code, said.stdout) == (0, ""), words
        assert "s altogether" in said.stderr
        assert "nothing was sent" in said.stderr
    assert "合共最多" in run("mqtt", "127.0.0.1:1", "--plan", "--lang", "zh-Hant").stderr


def test_exit_codes_and_the_form_of_answers() -> None:
    """5 where nobody is, 2 where it was asked wrongly; the envelope is that of every command."""
    port = str(free_port())
    for words, name, code in (
        (("bacnet", "--range", "127.0.0.1/32", "--port", port, "--wait", "100ms"), "bacnet", "silent"),
        (("modbus-tcp", "127.0.0.1:1", "--units", "1"), "modbus-tcp", "unreachable"),
        (("mqtt", "127.0.0.1:1", "--for", "1s"), "mqtt", "tcp"),
        (("modbus-rtu", "/dev/no-such-line", "--units", "1"), "modbus-rtu", "unreachable"),
    ):
        said = run(*words, "--json")
        answer = Said(said.exit_code, said.stdout, said.stderr).envelope()
        assert (said.exit_code, answer["schema"], answer["problems"][0]["code"]) == (
            5, f"sitekeeper.discover.{name}/1", code,
        )  # fmt: skip
    for wrong in (
        ("bacnet", "--range", "10.0.0.0/8"),
        ("modbus-tcp", "h", "--units", "9-3"),
        ("mqtt", "h", "--for", "1h"),
    ):
        assert run(*wrong).exit_code == 2, wrong


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly() -> None:
    """In the middle of a long search: exit code 130, and no traceback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.9.0.1", 0))
        asked.settimeout(30)
        command = [*SK, "discover", "bacnet", "--range", "127.9.0.0/20", "--port", str(asked.getsockname()[1])]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert asked.recv(100)[:2] == b"\x81\x0a"  # it has begun
            running.send_signal(signal.SIGINT)
            _, complaint = running.communicate(timeout=30)
        finally:
            running.kill()
            running.wait()
    assert running.returncode == 130
    assert "Traceback" not in complaint


@pytest.mark.parametrize("profile", sorted(shipped("modbus")))
def test_what_is_pasted_for_a_profile_is_accepted_or_names_its_blanks(profile: str, tmp_path: Path) -> None:
    """Every shipped Modbus profile: what stands in capitals is said to be a blank; with that filled in it is right."""
    link = TcpLink.model_validate({"host": "127.0.0.1", "port": 502})
    pasted = discover_modbus._yaml([(lines.Found(link=link), units.Unit(1))], [profile])
    for blank, what in blanks(profile).items():
        assert f"# {blank.upper()}: {what}" in pasted
        pasted = pasted.replace(f"{blank}: {blank.upper()}", f"{blank}: {what[0] if what[0].isdigit() else 1}")
    (tmp_path / "site.yaml").write_text(f"site: {{id: s, timezone: UTC}}\n{pasted}", encoding="utf-8")
    assert load(tmp_path, environment={}).devices["line-1-unit-1"].profile == profile
