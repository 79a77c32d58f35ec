"""`sk probe modbus`: one request over any transport, its answer in every way of reading; or the search for a value."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import click
from pydantic import ValidationError

from drivers.modbus.address import Table
from drivers.modbus.options import AnyLink, ModbusDevice, RtuLink, RtuTcpLink, SerialDevice, TcpLink
from edge.cli.output import envelope, lang_option, table
from edge.cli.probe_guess import guessed
from edge.probe import modbus as modbus_
from edge.probe.guess import SCALES
from edge.probe.modbus_talk import Answer, Asked, Beside, ask, beside, holders
from edge.probe.place import place
from sitekeeper.control import Problem
from sitekeeper.model.errors import LinkDown
from sitekeeper.texts import text

UNREACHABLE: Final = 5
SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"


def _transport(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say by which way the unit is reached."""
    file = click.Path(exists=True, dir_okay=False, resolve_path=True)
    for option in (
        click.option("--quiet", help="Serial frames: silence after a failure; longer than the unit can be late."),
        click.option("--echo", is_flag=True, help="Serial frames: the adapter repeats what we send."),
        click.option("--framing", help="Serial port: data bits, parity, stop bits; 8E1 if not given."),
        click.option("--baudrate", type=int, help="Serial port: 19200 if not given."),
        click.option("--rtu", is_flag=True, help="HOST:PORT is a converter: serial frames over TCP."),
        click.option("--key", type=file, help="The key of our own certificate."),
        click.option("--cert", type=file, help="Encrypted; our own certificate; with --key."),
        click.option("--ca", type=file, help="Encrypted; the authority of the device's certificate."),
        click.option("--tls", is_flag=True, help="Encrypted, checked against the system's authorities."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("where", metavar="HOST[:PORT]|/dev/PORT")
@click.option("--unit", type=int, help="The unit to ask; 1 if not given.")
@click.option("--units", metavar="FIRST..LAST", help="Try several units and say which answer.")
@click.option("--table", "table_", type=click.Choice(modbus_.TABLES), help="holding, unless the address says another.")
@click.option("--address", "written", default="0", show_default=True, help="From 0; 40021 is read as a Modicon number.")
@click.option("--raw-address", is_flag=True, help="Take 40021 as the address itself.")
@click.option("--count", type=click.IntRange(1, 65536), help="Registers or bits; 1, to be searched 100.")
@click.option("--type", "types", type=click.Choice(modbus_.SHOWN), multiple=True, help="Show these types only.")
@click.option("--around", is_flag=True, help="Also one address lower and higher, and the other table.")
@click.option("--guess", is_flag=True, help="Search the range for the value of --expect; prints the point's YAML.")
@click.option("--expect", multiple=True, help="What the display shows: 231.5, 231.5+-0.3, a text; twice narrows.")
@click.option(
    "--scale-candidates", "scales", metavar="S,S", help="Scales to try; 1,0.1,0.01,0.001,10,100 if not given."
)
@click.option("--between", metavar="DURATION", help="Wait so long between two --expect, instead of asking.")
@click.option("--timeout", default="1s", show_default=True, help="For connecting and for each answer.")
@_transport
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def modbus(
    *,
    lang: str,
    as_json: bool,
    types: tuple[str, ...],
    around: bool,
    guess: bool,
    expect: tuple[str, ...],
    scales: str | None,
    between: str | None,
    **given: Any,
) -> None:
    """Ask one Modbus request of a device and show the answer in every way of reading; or search for a value.

    Over TCP, with --tls encrypted, with --rtu in serial frames through a converter; /dev/... is a serial port, opened
    for us alone. A device that takes a single connection refuses this one while the gateway holds it.

    Exit codes: 0 it answered (--guess: something gives the value), 1 it refused, answered wrongly or nothing gives
    the value, 5 unreachable or silent.
    """
    try:
        if bool(expect) != guess or (between and len(expect) < 2):
            raise ValueError("--guess and --expect belong together, and --between to a second --expect")
        asked, translated = _asked(given, guess=guess)
        if guess:
            tried = tuple(map(float, scales.split(","))) if scales else SCALES
            sys.exit(guessed(asked, given["table_"], expect, tried, between, as_json=as_json, lang=lang))
    except ValidationError as error:
        raise click.UsageError("; ".join(_fault(*fault["loc"], fault["msg"]) for fault in error.errors())) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    answers, others = asyncio.run(_converse(asked, around=around))
    remark = text("probe.modicon", lang, written=given["written"], table=asked.table, address=asked.address)
    remark = remark if translated else ""
    shown = [_described(asked, answer, types) for answer in answers]
    problems = _problems(asked, answers, lang)
    near = [_beside(each, types) for each in others]
    if as_json:
        data = {"endpoint": asked.link.endpoint, "table": asked.table, "address": asked.address}
        data |= {"count": asked.count, "remark": remark, "answers": shown, "beside": near}
        click.echo(envelope("probe.modbus", data, problems))
    else:
        _print(shown, problems, remark, lang, several=bool(given["units"]))
        _print_beside(near, lang)
    sys.exit(exit_code(answers))


async def _converse(asked: Asked, *, around: bool) -> tuple[list[Answer], list[Beside]]:
    """Ask, and ask beside it where that is wanted or the place itself is refused."""
    answers = await ask(asked)
    off = len(answers) == 1 and answers[0].state == "refused"
    return answers, await beside(asked) if around or off else []


def _fault(*place_and_message: object) -> str:
    return ": ".join(map(str, place_and_message))


def _asked(given: dict[str, Any], *, guess: bool) -> tuple[Asked, bool]:
    """Return the request and whether its address was translated; raises ValueError, of which ValidationError is one."""
    unit, units, count = given["unit"], given["units"], given["count"] or (100 if guess else 1)
    if unit is not None and units:
        raise ValueError("--unit or --units, not both")
    link = way(given)
    wanted = modbus_.units(units) if units else [1 if unit is None else unit]
    for each in wanted:
        (ModbusDevice if isinstance(link, TcpLink) else SerialDevice)(unit=each)
    table_, address, translated = modbus_.address(given["table_"], given["written"], as_it_is=given["raw_address"])
    if guess:
        if len(wanted) > 1 or table_ not in ("input", "holding"):
            raise ValueError("--guess searches the registers of one unit")
        count = min(count, 65536 - address)
    elif address + count > 65536 or count > (125 if table_ in ("input", "holding") else 2000):
        raise ValueError(f"{table_} {address}, {count} of them: one request takes 125 registers or 2000 bits at most")
    return Asked(link=link, units=wanted, table=table_, address=address, count=count), translated


def way(given: dict[str, Any]) -> AnyLink:
    """Return the way to the unit; raises ValueError for options that do not belong together."""
    where, serial = given["where"], given["where"].startswith("/")
    common = {"timeout": given["timeout"]}
    line = {key: given[key] for key in ("quiet", "echo") if given[key]}
    port = {key: given[key] for key in ("baudrate", "framing") if given[key]}
    tls = {"certificate": given["cert"], "key": given["key"]} if given["cert"] or given["key"] else {}
    tls |= {"ca": given["ca"] or SYSTEM_CA} if given["tls"] or given["ca"] or tls else {}
    for named, fits, what in (
        (port, serial, "--baudrate and --framing are those of a serial port: /dev/..."),
        (line, serial or given["rtu"], "--quiet and --echo are for serial frames: /dev/..., or --rtu"),
        (tls, not serial and not given["rtu"], "encrypted is Modbus TCP only"),
        (given["rtu"], not serial, "--rtu is for HOST:PORT; a serial port has serial frames anyway"),
    ):
        if named and not fits:
            raise ValueError(what)
    if serial:
        return RtuLink.model_validate({"port": where, **line, **port, **common})
    name, number = place(where, 0)
    if given["rtu"]:
        if not number:
            raise ValueError("--rtu needs the converter's port: HOST:PORT")
        return RtuTcpLink.model_validate({"host": name, "port": number, **line, **common})
    return TcpLink.model_validate({"host": name, "port": number or None, "tls": tls or None, **common})


def exit_code(answers: Sequence[Answer]) -> int:
    """Return 0 if any unit answered, 1 if any spoke at all, else 5."""
    states = {answer.state for answer in answers}
    return 0 if "answers" in states else 1 if states & {"refused", "wrong"} else UNREACHABLE


def _problems(asked: Asked, answers: Sequence[Answer], lang: str) -> list[Problem]:
    """Return why nobody answered; nothing if somebody did."""
    if not exit_code(answers):
        return []
    return [Problem(a.state, str(a.error), _hint(asked, a, lang)) for a in answers]


def _hint(asked: Asked, answer: Answer, lang: str) -> str:
    """Return what to try; of a serial port that cannot be had, who has it."""
    if isinstance(asked.link, RtuLink) and answer.state == "unreachable" and isinstance(answer.error, LinkDown):
        if "another program has" in answer.error.what:
            return text("probe.hint.held", lang, who="; ".join(holders(asked.link)) or "?")
        return text("probe.hint.port", lang)
    return text(f"probe.hint.{answer.state}", lang)


def _described(asked: Asked, answer: Answer, types: Sequence[str]) -> dict[str, Any]:
    raw, read = _read(asked.table, asked.address, asked.count, answer.data, types)
    error = "" if answer.error is None else str(answer.error)
    return {"unit": answer.unit, "state": answer.state, "raw": raw, "error": error, "values": read}


def _read(
    table_: Table, start: int, count: int, data: bytes, types: Sequence[str]
) -> tuple[list[str], list[dict[str, Any]]]:
    if table_ in ("coil", "discrete"):
        read = modbus_.bits(start, count, data) if data else []
        return [f"{byte:02X}" for byte in data], [asdict(each) for each in read]
    return modbus_.words(data), [asdict(each) for each in modbus_.readings(table_, start, data, types)]


def _beside(each: Beside, types: Sequence[str]) -> dict[str, Any]:
    answer, bits = each.answer, each.table in ("coil", "discrete")
    raw, read = _read(each.table, each.address, 0 if bits else len(answer.data) // 2, answer.data, types)
    place_ = {"table": each.table, "address": each.address, "state": answer.state, "raw": raw}
    return {**place_, "error": "" if answer.error is None else answer.error.what, "values": read}


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


def _print_beside(near: Sequence[dict[str, Any]], lang: str) -> None:
    if near:
        click.echo(text("probe.beside", lang), err=True)
        columns = ("table", "address", "state", "raw", "error")
        table(columns, ([" ".join(row[c]) if c == "raw" else row[c] for c in columns] for row in near))
