"""kill -9 at seeded moments: what a child process reported durable is there, once, and without a hole."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox import Outbox, ranges
from sitekeeper.block import STREAMS
from sitekeeper.model.clock import SystemClock

KILLS = 20

CHILD = """
import sys
from pathlib import Path
import structlog
from edge.outbox import Limits, Outbox
from edge.recorder import SealedBlock
from sitekeeper.model.clock import SystemClock

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
path, boot = Path(sys.argv[1]), sys.argv[2]
clock = SystemClock()
outbox = Outbox.open(path, site="harbour", clock=clock, limits=Limits(retry=0.05))

def tell(stream, sequence):
    sys.stdout.write(f"{stream} {sequence}\\n")
    sys.stdout.flush()

turn = 0
while True:
    turn += 1
    streams = ["samples"] * 3 + ["alarms"] * (turn % 4 == 0) + ["events"] * (turn % 7 == 0)
    blocks = []
    for stream in streams:
        n = outbox.next_sequence(stream) + sum(b.stream == stream for b in blocks)
        body = f"{stream} {n} {boot} ".encode() + bytes(n * 37 % 3000)
        now = clock.wall()
        blocks.append(SealedBlock(stream=stream, sequence=n, payload=body, count=1, t0=now, t1=now))
    audit = [f"{b.stream} {b.sequence}".encode() for b in blocks if b.stream == "alarms"]
    state = {"last": f"{blocks[0].sequence}".encode()}
    future = outbox.append(blocks, rule_state=state, audit=audit)
    future.add_done_callback(lambda _, blocks=blocks: [tell(b.stream, b.sequence) for b in blocks])
    if turn % 20 == 0:
        future.result()
        outbox.release(outbox.epoch, [("samples", outbox.unsent("samples").oldest, blocks[0].sequence - 5)])
"""


def run_child(
    path: Path,
    boot: int,
    delay: float,
    *,
    child: str = CHILD,
    begun: Callable[[], None] = lambda: None,
    may_end: bool = False,
) -> list[tuple[str, int]]:
    """Let a child append until it is killed `delay` seconds after its first report; return what it reported.

    Args:
        begun: called after the first report.
        may_end: the child may end by itself.
    """
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", child, str(path), str(boot)], stdout=write)
    os.close(write)
    said = b""
    with os.fdopen(read, "rb", buffering=0) as pipe:
        said += pipe.read(4096)
        assert said, "the child ended before it reported anything"
        begun()
        killer = time.monotonic() + delay
        os.set_blocking(read, False)
        while time.monotonic() < killer:
            said += pipe.read(65536) or b""
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL or may_end
        while part := pipe.read(65536):
            said += part
    lines = said.decode().split("\n")[:-1]  # the last one may be cut
    return [(stream, int(number)) for stream, number in map(str.split, lines)]


@pytest.mark.slow
def test_nothing_reported_durable_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    """After each of 20 kills or more every reported block is there with its bytes, no sequence is missing or twice."""
    path = tmp_path / "outbox.db"
    moments = random.Random(20)
    reported: dict[str, set[int]] = {stream: set() for stream in STREAMS}
    epoch = ""
    unreported = 0
    for boot in range(3 * KILLS):
        if boot >= KILLS and unreported:
            break
        said = run_child(path, boot, moments.uniform(0.0, 0.25))
        assert len(said) == len(set(said)), "a block was reported twice"
        for stream, number in said:
            assert number not in reported[stream], "a later process gave out a sequence again"
            reported[stream].add(number)
        outbox = Outbox.open(path, site="harbour", clock=SystemClock(), inline=True)
        epoch = epoch or outbox.epoch
        assert outbox.epoch == epoch
        last = {stream: outbox.next_sequence(stream) - 1 for stream in STREAMS}
        for stream in STREAMS:
            assert max(reported[stream], default=0) <= last[stream]
            unreported += last[stream] - len(reported[stream])
            for number in range(1, last[stream] + 1):
                payload = outbox.read(stream, number, history=True)
                assert payload is not None, f"{stream} {number} is missing"
                assert payload.startswith(f"{stream} {number} ".encode())
                reported[stream].add(number)
        alarms = [f"alarms {number}".encode() for number in range(1, last["alarms"] + 1)]
        assert outbox.audit_tail(1_000_000) == alarms, "an audit row without its block, or the other way round"
        state = int(outbox.state().rule_state["last"])
        assert state == last["samples"] - 2, "rule state of another transaction than the last block's"
        unsent, released = outbox.unsent("samples"), outbox._store.released["samples"]
        assert unsent.blocks == last["samples"] - ranges.size(released)
        outbox.close()
    assert sum(map(len, reported.values())) > KILLS * 5, "proved nothing: hardly anything was written"
    assert unreported, "proved nothing: no kill fell between a commit and its report"
