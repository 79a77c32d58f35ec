"""`sk demo`: a bad minute of a whole small estate, on this machine, with every part a process of its own.

Simulated devices on real Modbus TCP, BACnet/IP and MQTT, the doors' own broker, the gateway, the office with its
broker, two telephones and a third party that listens. On the way the gateway is killed, the office hangs and the line
to it is dead for 20 s. At the end the oracle compares what the devices did with what the office has. Nothing is left
behind: no process, no file.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from simulators.proxy import Proxy
from simulators.stage import Stage, StageError, ask, free_port, is_free, program, replaced, sk, write
from simulators.story import SHORTEST_S, Story, Teller
from sitekeeper.data import data_path
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND

SITE = "estate"
USER = "operator"
SECRET = "demo-webhook-secret-not-for-use"  # noqa: S105 - both ends of it live and die with the demo


@click.command()
@click.option("--for", "length", default="80s", show_default=True, help=f"How long the story runs, from {SHORTEST_S}s.")
@click.option("--port", default=8080, show_default=True, help="Of the console; a free one if this is taken.")
@click.option("--json", "as_json", is_flag=True, help="The account at the end as data; the story is told on stderr.")
@click.option("--lang", type=click.Choice(["en", "zh-Hant", "zh-Hans"]), default="en", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep logs, journals and databases in this folder.")
def demo(*, length: str, port: int, as_json: bool, lang: str, keep: Path | None) -> None:
    """A bad minute of a whole small estate, with every part real."""
    try:
        seconds = parse_duration(length) // SECOND
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    if seconds < SHORTEST_S:
        raise click.UsageError(f"--for {length}: the story takes {SHORTEST_S}s; its delays are real and stay so")
    folder = Path(tempfile.mkdtemp(prefix="sitekeeper-demo-"))
    teller = Teller(lang, aside=as_json)
    try:
        sys.exit(asyncio.run(_play(folder, seconds, teller, port, as_json=as_json)))
    except StageError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        try:
            if keep is not None:
                shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        finally:
            shutil.rmtree(folder)


async def _play(folder: Path, seconds: int, teller: Teller, port: int, *, as_json: bool) -> int:
    """Set the stage, play, strike it, and let the oracle judge. Return the exit code."""
    stage = Stage(folder)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    story: Story | None = None
    try:
        story = await _set_the_stage(stage, folder, teller, port if is_free(port) else free_port())
        playing = asyncio.create_task(story.play(seconds), name="story")
        leaving = asyncio.create_task(stopped.wait(), name="leaving")
        await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not playing.done():
            playing.cancel()
            await asyncio.wait({playing})
            return 130
        await playing
        await story.finish()
    finally:
        await stage.close()
        if story is not None:
            await story.line.close()
    return await _judge(folder, teller, as_json=as_json)


async def _set_the_stage(stage: Stage, folder: Path, teller: Teller, console: int) -> Story:
    """Start everything and return the story that can be played on it."""
    teller.say("start")
    doors, broker, phone, chat = (free_port() for _ in range(4))
    secret = write(folder / "secret", SECRET, 0o600)
    for name, port in (("doors", doors), ("broker", broker)):
        await stage.start(name, *program("simulators.broker"), "--port", str(port), ready="ready")
    await stage.start("tap", *program("simulators.tap"), "--port", str(broker), "--journal", str(folder / "tap.jsonl"),
                      file=folder / "tap.jsonl")  # fmt: skip
    for name, port, more in (("phone", phone, ["--secret-file", str(secret)]), ("chat", chat, [])):
        journal = str(folder / f"{name}.jsonl")
        await stage.start(
            name, *program("simulators.phone"), "--port", str(port), "--journal", journal, *more, ready="ready"
        )
    ports = folder / "ports.json"
    scenario = str(data_path("scenarios", f"{SITE}.yaml"))
    line = Proxy(("127.0.0.1", broker), port=free_port())
    story = Story(stage, folder, teller, line)
    await line.start()
    _write_office(folder, broker, phone, chat, console)
    password = await _account(folder)
    await story.start_office()
    await stage.start(
        "devices", *sk("sim", scenario, "--free-ports", "--wait", "--broker", f"127.0.0.1:{doors}"), "--journal",
        str(folder / "devices.jsonl"), "--ports-file", str(ports), file=ports,
    )  # fmt: skip
    _write_site(folder / "site", json.loads(ports.read_text(encoding="utf-8")), doors, line.port)
    await story.start_gateway()
    await story.all_heard()
    stage.signal("devices", signal.SIGUSR1)
    story.begin()
    teller.say("ready", folder=folder)
    teller.say("console", url=f"http://127.0.0.1:{console}/", user=USER, password=password)
    return story


async def _account(folder: Path) -> str:
    """Make the console's account for this one run and return its password."""
    command = sk(
        "office", "user", "set", "--config", str(folder / "office" / "office.yaml"), "--role", "operator", USER
    )
    code, out, err = await ask(*command)
    if code:
        raise StageError(f"no account for the console: {err}")
    return out.strip()


def _write_site(folder: Path, ports: Mapping[str, int], doors: int, office: int) -> None:
    """Write the shipped site folder with the ports of today."""
    shipped = data_path("sites", SITE)
    changes = {
        "port: 5031": f"port: {ports['lift-a1']}",
        "port: 5032": f"port: {ports['parking']}",
        "port: 5033": f"port: {ports['fire-panel']}",
        "driver: mqtt, host: 127.0.0.1, port: 1883": f'driver: mqtt, host: 127.0.0.1, port: {doors}, protocol: "3.1.1"',
        '"mqtt://127.0.0.1:1883"': f'"mqtt://127.0.0.1:{office}", protocol: "3.1.1"',
    }
    write(folder / "site.yaml", replaced((shipped / "site.yaml").read_text(encoding="utf-8"), changes))
    for file in sorted((shipped / "devices").glob("*.yaml")):
        text = file.read_text(encoding="utf-8").replace("127.0.0.1:47821", f"127.0.0.1:{ports['bms']}")
        write(folder / "devices" / file.name, text)


def _write_office(folder: Path, broker: int, phone: int, chat: int, console: int) -> None:
    write(folder / "office" / "secrets.yaml", f"webhook: {SECRET}\n", 0o600)
    text = f"""store: {{path: {folder / "office.db"}}}
broker: {{host: 127.0.0.1, port: {broker}, protocol: "3.1.1"}}
socket: {{path: {folder / "office.sock"}}}
console: {{host: 127.0.0.1, port: {console}}}
channels:
  - {{id: desk, kind: webhook, url: "http://127.0.0.1:{phone}/", secret: "${{secret:webhook}}", timeout: 5s}}
  - {{id: chat, kind: apprise, url: "json://127.0.0.1:{chat}/"}}
routes: {{P1: [desk, chat], P2: [desk, chat], P3: [desk]}}
retry: {{first: 500ms, most: 5s, attempts: 100}}
"""
    write(folder / "office" / "office.yaml", text)


def oracle() -> Path:
    """Return the oracle's file: a script that knows none of our packages, beside the tests or shipped with us."""
    shipped = Path(__file__).with_name("oracle.py")
    return shipped if shipped.exists() else Path(__file__).parent.parent / "tests" / "oracle.py"


async def _judge(folder: Path, teller: Teller, *, as_json: bool) -> int:
    """Run the oracle over what the run left behind."""
    code, out, err = await ask(
        sys.executable, str(oracle()), "--json", "--site", SITE, "--office", str(folder / "office.db"),
        "--journal", str(folder / "devices.jsonl"), "--phone", str(folder / "phone.jsonl"),
        "--tap", str(folder / "tap.jsonl"), "--done", str(folder / "done.jsonl"),
    )  # fmt: skip
    if not out:
        click.echo(err, err=True)
        return 1
    account = json.loads(out)
    if as_json:
        click.echo(json.dumps(account))
    else:
        with contextlib.suppress(BrokenPipeError):
            teller.account(account)
    return code
