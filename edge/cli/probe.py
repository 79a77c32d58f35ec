"""`sk probe`: ask a device one thing, with the very driver of the gateway and without any site file."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import click
from pydantic import ValidationError

from drivers.modbus.address import Table
from drivers.modbus.link import Link
from drivers.modbus.options import ModbusDevice, RawType, TcpLink
from drivers.modbus.request import question
from edge.cli.output import envelope, lang_option, table
from edge.cli.probe_bacnet import bacnet
from edge.cli.probe_mqtt import mqtt
from edge.probe import modbus as modbus_
from edge.probe.place import place
from sitekeeper.control import Problem
from sitekeeper.model.errors import DeviceRefused, FieldError, LinkDown
from sitekeeper.texts import text

UNREACHABLE: Final = 5
NOBODY_BEHIND: Final = (10, 11)
"""Exceptions by which a Modbus gateway says that the unit behind it does not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one unit said: `data`, or the error in its place."""

    unit: int
    data: bytes = b""
    error: FieldError | None = None

    @property
    def state(self) -> str:
        """`answers`, `refused`, `wrong` (an answer, but no right one), `silent` or `unreachable` (no connection)."""
        if self.error is None:
            return "answers"
        if isinstance(self.error, DeviceRefused):
            return "silent" if self.error.exception_code in NOBODY_BEHIND else "refused"
        if self.error.raw:
            return "wrong"
        return "unreachable" if isinstance(self.error, LinkDown) else "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The one request."""

    link: TcpLink
    units: Sequence[int]
    table: Table
    address: int
    count: int


@click.group()
def probe() -> None:
    """Ask a device directly, without any site file: modbus, bacnet; or a broker: mqtt."""


probe.add_command(bacnet)
probe.add_command(mqtt)


@probe.command()
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--unit", type=int, help="The unit to ask; 1 if not given.")
@click.option("--units", metavar="FIRST..LAST", help="Try several units and say which answer.")
@click.option("--table", "table_", type=click.Choice(modbus_.TABLES), help="holding, unless the address says another.")
@click.option("--address", "written", default="0", show_default=True, help="From 0; 40021 is read as a Modicon number.")
@click.option("--raw-address", is_flag=True, help="Take 40021 as the address itself.")
@click.option("--count", type=click.IntRange(1, 2000), default=1, show_default=True, help="Registers or bits.")
@click.option("--type", "types", type=click.Choice(modbus_.TYPES), multiple=True, help="Show these types only.")
@click.option("--timeout", default="1s", show_default=True, help="For connecting and for each answer.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def modbus(*, lang: str, as_json: bool, types: tuple[RawType, ...], **given: Any) -> None:
    """Ask one Modbus TCP request of a device and show the answer in every byte order.

    Exit codes: 0 it answered, 1 it refused or answered wrongly, 5 unreachable or silent. A device that takes a single
    connection refuses this one while the gateway holds it.
    """
    try:
        asked, translated = _asked(**given)
    except ValidationError as error:
        raise click.UsageError("; ".join(_fault(*fault["loc"], fault["msg"]) for fault in error.errors())) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    answers = asyncio.run(ask(asked))
    remark = text("probe.modicon", lang, written=given["written"], table=asked.table, address=asked.address)
    remark = remark if translated else ""
    shown = [_described(asked, answer, types) for answer in answers]
    problems = _problems(answers, lang)
    if as_json:
        data = {"endpoint": asked.link.endpoint, "table": asked.table, "address": asked.address}
        data |= {"count": asked.count, "remark": remark, "answers": shown}
        click.echo(envelope("probe.modbus", data, problems))
    else:
        _print(shown, problems, remark, lang, several=bool(given["units"]))
    sys.exit(exit_code(answers))


def _fault(*place_and_message: object) -> str:
    return ": ".join(map(str, place_and_message))


def _asked(
    *,
    host: str,
    unit: int | None,
    units: str | None,
    table_: Table | None,
    written: str,
    raw_address: bool,
    count: int,
    timeout: str,
) -> tuple[Asked, bool]:
    """Return the request and whether its address was translated; raises ValueError, of which ValidationError is one."""
    if unit is not None and units:
        raise ValueError("--unit or --units, not both")
    wanted = modbus_.units(units) if units else [1 if unit is None else unit]
    for each in wanted:
        ModbusDevice(unit=each)
    name, port = place(host, 502)
    link = TcpLink.model_validate({"host": name, "port": port, "timeout": timeout})
    table_, address, translated = modbus_.address(table_, written, as_it_is=raw_address)
    if address + count > 65536 or (table_ in ("input", "holding") and count > 125):
        raise ValueError(f"{table_} {address}, {count} of them: one request takes 125 registers or 2000 bits at most")
    return Asked(link=link, units=wanted, table=table_, address=address, count=count), translated


async def ask(asked: Asked) -> list[Answer]:
    """Ask each unit in turn over one connection; opened anew only if it was lost. Ends early if that is impossible."""
    link, answers, opened = Link(asked.link), list[Answer](), False
    try:
        for unit in asked.units:
            each = question(unit, asked.table, asked.address, asked.count)
            try:
                if not opened:
                    await link.open()
                    opened = True
                answers.append(Answer(unit, await link.ask(each)))
            except FieldError as error:
                if not error.request:  # the connection's own fault knows neither
                    error.endpoint, error.request = f"{link.endpoint} unit {unit}", each.text
                answers.append(Answer(unit, error=error))
                if isinstance(error, LinkDown):
                    if not opened:
                        break
                    opened = False
    finally:
        link.close()
    return answers


def exit_code(answers: Sequence[Answer]) -> int:
    """Return 0 if any unit answered, 1 if any spoke at all, else 5."""
    states = {answer.state for answer in answers}
    return 0 if "answers" in states else 1 if states & {"refused", "wrong"} else UNREACHABLE


def _problems(answers: Sequence[Answer], lang: str) -> list[Problem]:
    """Return why nobody answered; nothing if somebody did."""
    if not exit_code(answers):
        return []
    return [Problem(a.state, str(a.error), text(f"probe.hint.{a.state}", lang)) for a in answers]


def _described(asked: Asked, answer: Answer, types: Sequence[RawType]) -> dict[str, Any]:
    start, data = asked.address, answer.data
    if asked.table in ("coil", "discrete"):
        read, raw = modbus_.bits(start, asked.count, data) if data else [], [f"{byte:02X}" for byte in data]
    else:
        read, raw = modbus_.readings(asked.table, start, data, types), modbus_.words(data)
    error = "" if answer.error is None else str(answer.error)
    return {"unit": answer.unit, "state": answer.state, "raw": raw, "error": error, "values": [asdict(r) for r in read]}


def _print(
    shown: Sequence[dict[str, Any]], problems: Sequence[Problem], remark: str, lang: str, *, several: bool
) -> None:
    if remark:
        click.echo(remark, err=True)
    if several:
        rows = [(each["unit"], each["state"], " ".join(each["raw"]), each["error"]) for each in shown]
        table(("unit", "state", "raw", "error"), rows)
    elif not problems:
        click.echo(text("probe.raw", lang, raw=" ".join(shown[0]["raw"])), err=True)
        columns = ("address", "type", "order", "raw", "value")
        table(columns, ([row[column] for column in columns] for row in shown[0]["values"]))
    for problem in problems[:1]:
        click.echo(f"{problem.code}: {problem.message}\n  {text('cli.word.try', lang)} {problem.hint}", err=True)
