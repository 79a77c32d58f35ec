"""CLK: is the time on the records right? Pure."""

from typing import Final

from edge.doctor.finding import Facts, Finding

APART_S: Final = 5.0
"""More than a message of the office may take on its way here."""


def check(*, trusted: bool) -> list[Finding]:
    """Judge by what the kernel says of the wall clock (CLK01)."""
    if trusted:
        return [Finding(id="CLK01", state="ok", said="clock-right")]
    return [Finding(id="CLK01", state="warn", said="clock-wrong", next="timedatectl; chronyc tracking")]


def agrees(uplink: Facts) -> list[Finding]:
    """Compare with the office's clock (CLK02), as its last receipt told it; nothing is said without one."""
    ahead = uplink.get("office_clock_ahead_s")
    if ahead is None:
        return []
    if abs(ahead) <= APART_S:
        return [Finding(id="CLK02", state="ok", said="clock-agrees")]
    return [Finding(id="CLK02", state="warn", said="clock-apart", fields={"ahead": ahead}, next="timedatectl")]
