"""CLK: is the time on the records right? Pure."""

from edge.doctor.finding import Finding


def check(*, trusted: bool) -> list[Finding]:
    """Judge by what the kernel says of the wall clock (CLK01)."""
    if trusted:
        return [Finding(id="CLK01", state="ok", said="clock-right")]
    return [Finding(id="CLK01", state="warn", said="clock-wrong", next="timedatectl; chronyc tracking")]
