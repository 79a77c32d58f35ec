"""Finding BACnet/IP devices: everybody is asked, in the ways chosen, and then each who answered is asked what it is."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import Final

from drivers.bacnet.caller import PACE, Caller
from drivers.bacnet.discovery import EVERYWHERE, Heard, Place, Windows, addresses, duplicates
from drivers.bacnet.names import LARGEST_INSTANCE
from drivers.bacnet.options import PORT, IpLink
from drivers.bacnet.stack import Stack
from edge.discover.steps import Step, total
from edge.probe.bacnet import Placed, candidates, sites_yaml
from edge.probe.bacnet_talk import Report, Talk
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown

OWN_INSTANCE: Final = 4_194_301
"""The instance of the search itself, which nobody asks for."""
MOST_ADDRESSES: Final = 4_094
"""Addresses of one sweep: a network of 20 bits, 41 s of asking."""
NARROWER: Final = 20
"""Questions in narrower ranges that the time said beforehand leaves room for: about 400 devices that answer at once."""
AT_ONCE: Final = 8
DETAIL: Final = 10.0
"""Seconds in which one device has to have said everything; what it has not said by then is left out."""
DETAILS: Final = 60.0
"""Seconds for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to search.

    Attributes:
        own: our address and its network. port: everybody's, and ours too.
        network: a BACnet network behind routers to ask instead of all of them. bbmd: whose broadcasts to use.
        sweep: addresses to ask one by one. directed: a network whose broadcast address to ask.
        wait: seconds for the answers to each question.
    """

    own: IPv4Interface
    port: int
    low: int = 0
    high: int = LARGEST_INSTANCE
    network: int | None = None
    bbmd: Place | None = None
    sweep: IPv4Network | None = None
    directed: IPv4Network | None = None
    wait: float = 2.0
    details: bool = True

    @property
    def everybody(self) -> bool:
        """Whether a broadcast goes out at all that is not `directed`."""
        return self.bbmd is not None or (self.sweep is None and self.directed is None)

    @property
    def ephemeral(self) -> bool:
        """Whether a free port of ours will do: only answers to a broadcast come to everybody's own port."""
        return self.bbmd is not None or (self.sweep is not None and self.directed is None)


def steps(asked: Asked) -> list[Step]:
    """Return what `search` is going to send."""
    found, many = list[Step](), NARROWER * asked.wait
    limits: dict[str, object] = {"low": asked.low, "high": asked.high}
    if asked.bbmd is not None:
        found.append(Step("bbmd", 3 * asked.wait, {"bbmd": "{}:{}".format(*asked.bbmd)}))
    if asked.everybody:
        where = f"{asked.own.network.broadcast_address}:{asked.port}"
        to = {"to": "BBMD" if asked.bbmd else where, "network": asked.network or "*", "most": NARROWER}
        found.append(Step("everybody", asked.wait + many, limits | to))
    if asked.directed is not None:
        to = {"to": f"{asked.directed.broadcast_address}:{asked.port}", "most": NARROWER}
        found.append(Step("directed", asked.wait + many, limits | to))
    if asked.sweep is not None:
        count = hosts(asked.sweep)
        found.append(Step("sweep", 2 * (count * PACE * 1.5 + asked.wait), {"count": count, "range": str(asked.sweep)}))
    if asked.details:
        found.append(Step("details", DETAILS, {"most": AT_ONCE, "seconds": f"{DETAILS:g}"}))
    return found


def hosts(network: IPv4Network) -> int:
    """Return how many addresses a sweep of it asks."""
    return network.num_addresses if network.prefixlen >= 31 else network.num_addresses - 2


@dataclass(slots=True)
class Found:
    """What came of a search. `devices`: a report for each introduction, in order of instance and address.

    `nameless`: addresses where somebody is who does not say which device it is. `cut`: ranges in which more devices
    are than could be asked for. `late`: it ended because its time was over.
    """

    heard: list[Heard] = field(default_factory=list)
    devices: list[Report] = field(default_factory=list)
    twice: dict[int, list[str]] = field(default_factory=dict)
    nameless: list[str] = field(default_factory=list)
    cut: int = 0
    late: bool = False
    yaml: str = ""
    error: FieldError | None = None


async def search(asked: Asked) -> Found:
    """Search, within the time of `steps`; what failed is in the answer beside what was found."""
    found = Found()
    caller = Caller(asked.own, asked.port, ephemeral=asked.ephemeral)
    try:
        async with asyncio.timeout(total(steps(asked)) + 5):
            try:
                await caller.open()
                await _calls(asked, caller, found)
            except (LinkDown, DeviceSilent, DeviceRefused) as error:
                found.error = error
            finally:
                await caller.close()
                meant = (each for each in caller.heard if asked.low <= each.instance <= asked.high)
                found.heard = _whole(meant)
                found.twice = duplicates(found.heard)
                found.nameless = sorted(caller.nameless - {each.address for each in caller.heard})
            if asked.details and found.heard:
                await _details(asked, found)
    except TimeoutError:
        found.late = True
    placed = [Placed(each.instance, each.endpoint, each.kinds) for each in found.devices if each.instance is not None]
    found.yaml = sites_yaml(_link(asked), placed, candidates()) if placed else ""
    return found


async def _calls(asked: Asked, caller: Caller, found: Found) -> None:
    if asked.bbmd is not None:
        await caller.register(asked.bbmd, asked.wait)
    if asked.everybody:
        found.cut += await _everybody(asked, caller, "")
    if asked.directed is not None:
        found.cut += await _everybody(asked, caller, str(asked.directed.broadcast_address))
    if asked.sweep is not None:
        every = list(addresses(str(asked.sweep.network_address), asked.sweep.prefixlen))
        await caller.each(every, asked.port, asked.wait, itself=False)
        known = {each.address for each in caller.heard}
        silent = [host for host in every if f"{host}:{asked.port}" not in known]
        await caller.each(silent, asked.port, asked.wait, itself=True)


async def _everybody(asked: Asked, caller: Caller, to: str) -> int:
    windows = Windows(asked.low, asked.high, most=NARROWER + 1)
    network = asked.network if to else asked.network or EVERYWHERE
    await caller.everybody(windows, asked.wait, network=network, to=to)
    return windows.cut


def _whole(heard: Iterable[Heard]) -> list[Heard]:
    """Return each device once: of one that introduced itself and was read too, the introduction says more."""
    best: dict[tuple[int, str], Heard] = {}
    for each in heard:
        key = (each.instance, each.address)
        if key not in best or best[key].max_apdu is None:
            best[key] = each
    return [best[key] for key in sorted(best)]


async def _details(asked: Asked, found: Found) -> None:
    own = str(asked.own.ip)
    given = {"address": f"{own}/32", "port": 0, "instance": OWN_INSTANCE, "timeout": "1s"}
    link, slots = IpLink.model_validate(given), asyncio.Semaphore(AT_ONCE)
    found.devices = [Report(each.address, own, each.instance) for each in found.heard]
    stack = Stack(link)

    async def ask(report: Report) -> None:
        assert report.instance is not None
        async with slots:
            try:
                async with asyncio.timeout(DETAIL):
                    await Talk(stack, report.endpoint, report, link.timeout / SECOND).identify(report.instance)
            except TimeoutError:
                report.error = DeviceSilent(f"not done within {DETAIL:g} s", endpoint=report.endpoint)
            except FieldError as error:
                report.error = error

    try:
        await stack.open()
        async with asyncio.timeout(DETAILS), asyncio.TaskGroup() as tasks:
            for report in found.devices:
                tasks.create_task(ask(report), name=f"ask {report.endpoint}")
    except TimeoutError:
        found.late = True
    except LinkDown as error:
        found.error = error
    finally:
        await stack.close()


def _link(asked: Asked) -> str:
    """Return the keys of the link to paste."""
    keys, alone = [f"address: {asked.own}"], asked.own.is_loopback  # there each party needs a port of its own
    keys += ["port: 0"] if alone else [f"port: {asked.port}"] if asked.port != PORT else []
    keys += ['bbmd: "{}:{}"'.format(*asked.bbmd)] if asked.bbmd else []
    return ", ".join(keys)
