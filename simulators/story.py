"""What happens in the demo and when, and how it is told. Facts come from journals, never from what was planned."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from simulators.faults import Fault, FaultKind
from simulators.proxy import Proxy
from simulators.stage import Stage, StageError, ask, sk
from sitekeeper.texts import text

HEARD_WITHIN_S: Final = 60.0
SHORTEST_S: Final = 75
"""Seconds that the story takes with all its real delays."""
DRAINED_WITHIN_S: Final = 20.0

Line = dict[str, Any]


class Teller:
    """Tells one line per event, with the seconds since the curtain rose; `aside` on the stream that is not data."""

    def __init__(self, lang: str, *, aside: bool) -> None:
        self.lang = lang
        self._aside = aside
        self._began = time.monotonic()

    def begin(self) -> None:
        self._began = time.monotonic()

    def say(self, key: str, **fields: object) -> None:
        """Print the text `demo.<key>`."""
        at = time.monotonic() - self._began
        with contextlib.suppress(BrokenPipeError):
            click.echo(f"{at:5.1f} s  {text(f'demo.{key}', self.lang, **fields)}", err=self._aside)

    def account(self, account: Line) -> None:
        """Print the oracle's account, one figure a line, in plain words."""
        click.echo(text("demo.account.head", self.lang))
        alarms = account["alarms"]
        risk = ", ".join(f"{count} {what}" for what, count in account["at_risk"].items())
        latency = alarms["latency_ms"] or {"p50": "-", "p99": "-"}
        held = alarms["held_back_ms"] or {"p99": "-"}
        raised = ", ".join(f"{rule} {count}" for rule, count in sorted(alarms["by_rule"].items()))
        rows = account | account["freed"] | latency | {"risk": risk, "held": held["p99"], "raised": raised}
        rows |= {"pushed": alarms["pushed"]}
        for key in ("estate", "samples", "events", "blocks", "risk", "alarms", "latency", "freed", "lost", "gaps"):
            click.echo("  " + text(f"demo.account.{key}", self.lang, **_words(rows)))
        for sentence in account["wrong"]:
            click.echo(f"  ! {sentence}")
        click.echo(text("demo.account.good" if account["ok"] else "demo.account.bad", self.lang))


def _words(rows: Line) -> Line:
    gaps = ", ".join(f"{cause} {seconds} s" for cause, seconds in rows["gap_s"].items()) or "0 s"
    return {key: value for key, value in rows.items() if isinstance(value, str | int | float)} | {"gaps": gaps}


class Journal:
    """Follows a journal that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[Line]:
        """Return the complete lines that have come since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


TOLD: Final = {
    "stuck", "trapped", "released", "mains failed", "mains restored", "door forced", "motor jammed", "motor freed",
    "lamp failed", "call point pressed", "fire alarm", "panel reset",
}  # fmt: skip
"""Facts of the devices' journal that are told; the rest is traffic."""
FREED: Final = {"mode": "free", "hold_open": True, "command": 100}


class Story:
    """The acts, over a stage that is set. `line` is the way from the site to the office."""

    def __init__(self, stage: Stage, folder: Path, teller: Teller, line: Proxy) -> None:
        self.line = line
        self._stage, self._folder, self._teller = stage, folder, teller
        self._gateway_socket = str(folder / "gateway.sock")
        self._office_socket = str(folder / "office.sock")
        self._began = time.monotonic()
        self._occurrence = "L01"

    def begin(self) -> None:
        """The devices live: the story's time begins."""
        self._began = time.monotonic()
        self._teller.begin()

    async def start_gateway(self) -> None:
        command = sk("run", "--site", str(self._folder / "site"), "--socket", self._gateway_socket)
        await self._stage.start("gateway", *command, ready="gateway open")

    async def all_heard(self) -> None:
        """Wait until the gateway hears every device: what happens before somebody watches is nobody's alarm.

        Raises:
            StageError: it does not.
        """
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                while not await self._hears_all():  # noqa: ASYNC110 - another process cannot set our event
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StageError(f"the gateway does not hear every device within {HEARD_WITHIN_S:.0f} s") from None

    async def _hears_all(self) -> bool:
        _, out, _ = await ask(*sk("status", "--json", "--socket", self._gateway_socket))
        data = json.loads(out)["data"] if out else None
        return data is not None and data["devices"]["online"] == data["devices"]["all"]

    async def start_office(self) -> None:
        command = sk("office", "run", "--config", str(self._folder / "office" / "office.yaml"))
        await self._stage.start("office", *command, ready="console: http")

    async def play(self, seconds: int) -> None:
        """Play all acts at their times while another tells what really happens."""
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (6.5, self._gateway_dies),
            (11.0, self._office_hangs),
            (12.5, self._line_dies),
            (15.0, self._office_goes_on),
            (32.5, self._line_comes_back),
            (46.0, self._acknowledge),
            (68.0, self._release),
        ]
        telling = asyncio.create_task(self._tell(), name="telling")
        try:
            for at, act in acts:
                await self._until(at)
                await act()
            await self._until(seconds)
        finally:
            telling.cancel()
            await asyncio.wait({telling})

    async def finish(self) -> None:
        """Stop the devices, wait until the office has everything, then stop the rest in order."""
        self._teller.say("end")
        await self._stage.stop("devices")
        await asyncio.sleep(2.5)  # the last samples are sealed after a second, and sent
        async with asyncio.timeout(DRAINED_WITHIN_S):
            while not await self._drained():  # noqa: ASYNC110 - another process cannot set our event
                await asyncio.sleep(0.25)
        for name in ("gateway", "office", "tap"):
            await self._stage.stop(name)

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at - time.monotonic()))

    async def _drained(self) -> bool:
        _, out, _ = await ask(*sk("sync", "status", "--json", "--socket", self._gateway_socket))
        return not any(stream["blocks"] for stream in json.loads(out)["data"]["unsent"].values())

    async def _tell(self) -> None:
        """Say what the devices' journal and the two telephones say."""
        sources = {name: Journal(self._folder / f"{name}.jsonl") for name in ("devices", "phone", "chat")}
        while True:
            lines = sources["devices"].new()
            for line in lines:
                if line.get("fact") in TOLD and "device" in line:
                    people, floor = line.get("people", 0), line.get("floor", 0)
                    key = f"fact.{line['fact'].replace(' ', '_')}"
                    self._teller.say(key, device=line["device"], people=people, floor=floor)
            self._tell_obeyed([line for line in lines if "wrote" in line])
            for name in ("phone", "chat"):
                for line in sources[name].new():
                    title = line["body"].get("title", "") if isinstance(line["body"], dict) else ""
                    if line.get("event") and "/L01@" in line["event"]:
                        self._occurrence = line["event"]
                    late = {"late": f"{_age(line):.2f}"} if name == "phone" else {}
                    self._teller.say(name, title=title, **late)
            await asyncio.sleep(0.25)

    def _tell_obeyed(self, wrote: list[Line]) -> None:
        """Say which devices have been commanded, by the word that people know it under."""
        for point, freed in FREED.items():
            for key, wanted in (("freed", True), ("bound", False)):
                found = sorted({w["device"] for w in wrote for name, value in w["wrote"].items()
                                if name == point and (value == freed) is wanted})  # fmt: skip
                if found:
                    self._teller.say(f"{key}.{point}", devices=", ".join(found), count=len(found))

    def _did(self, what: str) -> None:
        with (self._folder / "done.jsonl").open("a", encoding="utf-8") as done:
            done.write(json.dumps({"t": time.time_ns() // 1_000, "did": what}) + "\n")

    async def _gateway_dies(self) -> None:
        self._did("kill gateway")
        await self._stage.kill("gateway")
        self._teller.say("gateway_dies")
        await asyncio.sleep(1.0)
        await self.start_gateway()
        self._did("back gateway")
        self._teller.say("gateway_back")

    async def _office_hangs(self) -> None:
        self._did("cut office")
        self._stage.signal("office", signal.SIGSTOP)
        self._teller.say("office_hangs")

    async def _office_goes_on(self) -> None:
        self._stage.signal("office", signal.SIGCONT)
        self._did("back office")
        self._teller.say("office_goes_on")

    async def _line_dies(self) -> None:
        self._did("cut way")
        self.line.switch(Fault(kind=FaultKind.HALF_OPEN))
        self._teller.say("line_dies")

    async def _line_comes_back(self) -> None:
        self.line.switch(None)
        self._did("back way")
        self._teller.say("line_comes_back")

    async def _acknowledge(self) -> None:
        command = sk("alarm", "ack", "L01", "--office", self._office_socket, "--note", "help is on the way")
        code, out, err = await ask(*command)
        self._teller.say("acknowledged" if code == 0 else "not_done", answer=_one_line(out or err))

    async def _release(self) -> None:
        command = sk("alarm", "clear", "L01", "--socket", self._gateway_socket)
        code, out, err = await ask(*command, "--entered", "released, 1 person, unhurt")
        self._teller.say("released" if code == 0 else "not_done", answer=_one_line(out or err))
        show = sk("alarm", "show", self._occurrence, "--office", self._office_socket)
        _, story, _ = await ask(*show, "--lang", self._teller.lang)
        for line in story.splitlines():
            self._teller.say("line", line=line)


def _age(line: Line) -> float:
    """Return the seconds from the alarm to its arrival on the telephone; 0 if the message does not say when it was."""
    at = line["body"].get("at") if isinstance(line["body"], dict) else None
    if not isinstance(at, str):
        return 0.0
    return float(line["t"] / 1_000_000 - datetime.fromisoformat(at).timestamp())


def _one_line(answer: str) -> str:
    said = [line.replace("\t", " ") for line in answer.strip().splitlines() if not line.startswith("occurrence")]
    return ", ".join(said)
