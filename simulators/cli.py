"""`sk sim SCENARIO`: run simulated devices until stopped."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from simulators.estate import Estate
from simulators.faults import SWITCHES
from simulators.journal import Journal
from simulators.replay import live
from simulators.scenario import Link, Scenario, load
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import ConfigError, FormatError, PeerUnreachable


def _list_faults(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        for kind, switch in SWITCHES.items():
            click.echo(f"{kind:18}{switch.place:8}{', '.join(switch.protocols):24}{switch.meaning}")
        context.exit()


@click.command()
@click.option(
    "--faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_faults,
    help="List the faults that a scenario can switch, where and on which protocols, and end.",
)
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option("--from", "dump", type=click.Path(path_type=Path), help="Serve what sk device dump wrote instead.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="With --from: where; a free one if not given.")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="With --from: as which unit.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, help="Seconds of story per second.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Append what was truly said here.")
@click.option(
    "--ports-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the ports by link here, JSON."
)
@click.option("--free-ports", is_flag=True, help="Take free ports, whatever the scenario says.")
@click.option("--broker", metavar="HOST:PORT", help="Where MQTT devices connect, whatever the scenario says.")
@click.option("--wait", is_flag=True, help="Until SIGUSR1 the devices just live; then their stories begin.")
def sim(
    scenario: Path | None,
    dump: Path | None,
    port: int,
    unit: int,
    speed: float,
    journal: Path | None,
    ports_file: Path | None,
    *,
    free_ports: bool,
    broker: str | None,
    wait: bool,
) -> int:
    """Run the simulated devices of a SCENARIO file, or one device from a dump, until Ctrl-C or SIGTERM.

    Prints one line per link (its id and its address) once every device answers.
    """
    if (scenario is None) == (dump is None):
        raise click.UsageError("a SCENARIO, or --from FILE")
    try:
        if dump is not None:
            place = None if broker is None else _address(broker)
            return asyncio.run(live(dump, unit=unit, port=port, broker=place))
        assert scenario is not None
        plan = load(scenario)
        plan = plan if broker is None else plan.at_broker(*_address(broker))
        _need_a_broker(plan)
        with contextlib.closing(Journal.open(journal)) as kept:
            estate = Estate(plan, clock=SystemClock(), journal=kept, speed=speed, free_ports=free_ports, waits=wait)
            return asyncio.run(_live(estate, ports_file, {link.id: link for link in plan.links}, waits=wait))
    except PeerUnreachable as error:
        click.echo(str(error), err=True)
        return 5
    except (ConfigError, FormatError) as error:
        click.echo(str(error), err=True)
        return 6
    except OSError as error:
        click.echo(f"cannot start: {error}", err=True)
        return 1


def _address(broker: str) -> tuple[str, int]:
    host, _, port = broker.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError(f"--broker {broker}: HOST:PORT, for example 127.0.0.1:1883")
    return host, int(port)


def _need_a_broker(plan: Scenario) -> None:
    for link in plan.links:
        if link.kind == "mqtt" and not link.port:
            raise click.UsageError(f"link {link.id} is MQTT and names no port: --broker HOST:PORT")


async def _live(estate: Estate, ports_file: Path | None, links: Mapping[str, Link], *, waits: bool) -> int:
    stopped = asyncio.Event()
    code = 0

    def stop(with_code: int) -> None:
        nonlocal code
        code = with_code
        stopped.set()

    for number, with_code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        asyncio.get_running_loop().add_signal_handler(number, stop, with_code)
    if waits:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, estate.begin)
    ports = await estate.start()
    try:
        if ports_file is not None:
            part = ports_file.with_name(ports_file.name + ".part")
            part.write_text(json.dumps(ports), encoding="utf-8")
            part.replace(ports_file)  # a reader sees all of it or none
        for link, port in ports.items():
            click.echo(f"{link}\t{links[link].serial or f'{links[link].host}:{port}'}")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as tasks:
            story = tasks.create_task(estate.run(), name="story")
            await stopped.wait()
            story.cancel()
    finally:
        await estate.close()
    return code
