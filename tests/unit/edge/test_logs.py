"""Log lines: one JSON object each, whoever writes them; and whether the wall clock may be believed."""

import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from edge import clock_trust
from edge.logs import LEVELS, configure

CODE = """
import logging, sys
sys.path[:] = {path!r}
import structlog
from edge.logs import configure
configure({level!r})
log = structlog.get_logger()
log.debug("fine")
log.info("gateway \\"open\\"", site="松濤苑", lines="a\\nb")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
    logging.getLogger("asyncio").exception('never "retrieved"\\nsecond line %s', "{{}}")
logging.getLogger("pymodbus").warning("not for the journal")
"""


def lines(level: str) -> list[dict[str, str]]:
    """Return what a fresh process logs at this level."""
    code = CODE.format(path=sys.path, level=level)
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_one_json_object_on_stderr() -> None:
    """Quotes, line ends, Chinese and tracebacks, ours and those of libraries, whose warnings stay out."""
    found = lines("info")
    assert [line["level"] for line in found] == ["info", "error", "error"]
    assert (found[0]["event"], found[0]["site"], found[0]["lines"]) == ('gateway "open"', "松濤苑", "a\nb")
    assert "ZeroDivisionError" in found[1]["exception"]
    assert found[2]["event"] == 'never "retrieved"\nsecond line {}'
    assert "ZeroDivisionError" in found[2]["exception"]


def test_the_level_is_kept_and_an_unknown_one_is_an_error() -> None:
    """Debug shows one line more; a misspelt level does not silently become another."""
    assert LEVELS["debug"] == logging.DEBUG
    with pytest.raises(KeyError):
        configure("loud")


@pytest.mark.parametrize(("answer", "trusted"), [(0, True), (1, True), (4, True), (5, False), (-1, False)])
def test_the_kernel_s_word_counts_and_its_refusal_is_no_trust(
    monkeypatch: pytest.MonkeyPatch, answer: int, trusted: bool
) -> None:
    """TIME_ERROR (5) is not synchronised; where the call is forbidden nobody vouches, and nothing breaks."""
    monkeypatch.setattr(clock_trust, "_libc", SimpleNamespace(adjtimex=lambda _buffer: answer))
    monkeypatch.setattr(clock_trust, "_asked", [0.0, 0.0])
    assert clock_trust.synchronised() is trusted


def test_the_kernel_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading wants to know; a thousand of them cost one call."""
    calls: list[object] = []
    monkeypatch.setattr(clock_trust, "_libc", SimpleNamespace(adjtimex=lambda buffer: calls.append(buffer) or 0))
    monkeypatch.setattr(clock_trust, "_asked", [0.0, 0.0])
    clocks = iter([10.0] + [10.9] * 1000 + [11.0])
    monkeypatch.setattr(clock_trust, "time", SimpleNamespace(monotonic=lambda: next(clocks)))
    for _ in range(1002):
        assert clock_trust.synchronised()
    assert len(calls) == 2
