"""The ways of a whole estate, spoilt byte by byte: to the Modbus devices, to the doors' broker, to the office's broker.

What is promised, and what not:

    cut, half open      nothing is lost on any way; devices that cannot be heard are told as such
    delay, repeat       no value is taken for another, and nothing is taken twice
    a flipped bit       on an encrypted way, as the doors' broker has here, the connection ends and nothing wrong comes
                        through. A block on its way to the office has a checksum: the office puts it aside, and the
                        site, which gets no receipt, sends it again

Modbus TCP has no checksum of its own: a flipped bit in a register is a value, and one in a function code makes a write
of a read. No client can tell, so such a way is not garbled here. Nor has JSON over MQTT without encryption: a flipped
bit in a digit is another number. And what comes from the office without encryption, receipts among it, has none
either, so garbling and repeating are done there to what goes up only. TCP's checksum is all that such ways have.
"""

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from simulators.faults import Fault, FaultKind
from sitekeeper.model.clock import MS
from tests.whole_run import WholeRun

QUARANTINE, GARBLED = " messages in quarantine (", "blocks published and not in the office"
"""What the oracle finds wrong on any other day: blocks that a garbled way has spoilt, as the office and the tap have
them. That each of them came whole in the end it says, too."""
FULL = os.environ.get("SITEKEEPER_FULL") == "1"
SPOILT_S, HEALED_S = (5.0, 2.0) if FULL else (3.0, 1.5)
MODBUS = ("lift-a1", "parking", "fire-panel")

KINDS = (FaultKind.CUT, FaultKind.DELAY, FaultKind.REPEAT, FaultKind.GARBLE, FaultKind.HALF_OPEN)
ON_MODBUS = {
    FaultKind.CUT: Fault(kind=FaultKind.CUT),
    FaultKind.DELAY: Fault(kind=FaultKind.DELAY, delay=300 * MS),
    FaultKind.REPEAT: Fault(kind=FaultKind.REPEAT, only="down"),  # up, the device would be asked and would answer twice
    FaultKind.GARBLE: None,
    FaultKind.HALF_OPEN: Fault(kind=FaultKind.HALF_OPEN),
}
TO_DOORS = {kind: Fault(kind=kind, delay=800 * MS) for kind in KINDS}
TO_OFFICE = TO_DOORS | {kind: Fault(kind=kind, only="up") for kind in (FaultKind.REPEAT, FaultKind.GARBLE)}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


async def test_whatever_is_done_to_the_ways_nothing_wrong_comes_through(tmp_path: Path) -> None:
    """Each way has each fault for seconds, never two ways the same: the oracle finds nothing lost, doubled or wrong."""
    async with WholeRun(tmp_path, ways=True) as run:
        people = asyncio.create_task(run.people(Random(1)), name="people")
        for turn in range(len(KINDS)):
            field, doors, office = (KINDS[(turn + shift) % len(KINDS)] for shift in range(3))
            for name in MODBUS:
                run.spoil(name, ON_MODBUS[field])
            run.spoil("doors", TO_DOORS[doors])
            run.spoil("office", TO_OFFICE[office])
            await asyncio.sleep(SPOILT_S)
            for name in run.ways:
                run.spoil(name, None)
            await asyncio.sleep(HEALED_S)
        people.cancel()
        await asyncio.wait((people,))
        await run.gateway_listens()
        await run.quiet()
        await run.drain()
    account = run.judge()
    print(account.wrong, account.figures, account.risk)
    assert [
        sentence for sentence in account.wrong if not sentence.endswith(GARBLED) and QUARANTINE not in sentence
    ] == []
    assert account.figures["events_stored"] > 300
    assert account.figures["stored"] > 300
    assert account.risk["blocks sent again"] >= 1
