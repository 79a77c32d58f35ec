"""`sk sim SCENARIO`: run simulated devices until stopped."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import click

from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import load
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import ConfigError


@click.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, help="Seconds of story per second.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Append what was truly said here.")
@click.option(
    "--ports-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the ports by link here, JSON."
)
@click.option("--free-ports", is_flag=True, help="Take free ports, whatever the scenario says.")
def sim(scenario: Path, speed: float, journal: Path | None, ports_file: Path | None, *, free_ports: bool) -> int:
    """Run the simulated devices of a SCENARIO file until Ctrl-C or SIGTERM.

    Prints one line per link (its id and its address) once every device answers.
    """
    try:
        return asyncio.run(_run(scenario, journal, ports_file, speed=speed, free_ports=free_ports))
    except ConfigError as error:
        click.echo(str(error), err=True)
        return 6
    except OSError as error:
        click.echo(f"cannot start: {error}", err=True)
        return 1


async def _run(scenario: Path, journal: Path | None, ports_file: Path | None, *, speed: float, free_ports: bool) -> int:
    plan = load(scenario)
    with contextlib.closing(Journal.open(journal)) as kept:
        estate = Estate(plan, clock=SystemClock(), journal=kept, speed=speed, free_ports=free_ports)
        return await _live(estate, ports_file)


async def _live(estate: Estate, ports_file: Path | None) -> int:
    stopped = asyncio.Event()
    code = 0

    def stop(with_code: int) -> None:
        nonlocal code
        code = with_code
        stopped.set()

    for number, with_code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        asyncio.get_running_loop().add_signal_handler(number, stop, with_code)
    ports = await estate.start()
    try:
        if ports_file is not None:
            part = ports_file.with_name(ports_file.name + ".part")
            part.write_text(json.dumps(ports), encoding="utf-8")
            part.replace(ports_file)  # a reader sees all of it or none
        for link, port in ports.items():
            click.echo(f"{link}\t127.0.0.1:{port}")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as tasks:
            story = tasks.create_task(estate.run(), name="story")
            await stopped.wait()
            story.cancel()
    finally:
        await estate.close()
    return code
