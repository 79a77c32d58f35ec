"""OFF: is the office connected, and does it say that it has what it was sent? Pure."""

from typing import Final

from edge.doctor.finding import Facts, Finding

FRESH_S: Final = 120
"""A receipt is due within seconds; the same limit as `sk status`."""
STARTING_S: Final = 60
"""For so long after its start a gateway may be without a connection."""
REACHED: Final = ("connected", "waiting")
"""States in which the broker has taken us; in `waiting` it is the office that is not heard."""
NEXT: Final = "sk sync status"


def check(status: Facts, sync: Facts) -> list[Finding]:
    """Judge the connection (OFF01) and the receipts (OFF02)."""
    uplink, uptime = sync["uplink"], status["uptime_s"]
    if uplink["state"] == "none":
        return [Finding(id="OFF01", state="ok", said="office-none")]
    unsent = sum(stream["blocks"] for stream in sync["unsent"].values())
    return [_connection(uplink, uptime), _receipts(uplink["receipt_age_s"], unsent, uptime)]


def _connection(uplink: Facts, uptime: int) -> Finding:
    if uplink["state"] in REACHED:
        return Finding(id="OFF01", state="ok", said="office-connected", fields={"protocol": uplink["protocol"]})
    fields = {"state": uplink["state"], "error": uplink["last_error"]}
    if uptime < STARTING_S:
        fields["uptime"] = uptime
        return Finding(id="OFF01", state="warn", said="office-starting", fields=fields, next=NEXT)
    return Finding(id="OFF01", state="fail", said="office-away", fields=fields, next=NEXT)


def _receipts(age: float | None, unsent: int, uptime: int) -> Finding:
    if not unsent:
        return Finding(id="OFF02", state="ok", said="receipts-none-due")
    if age is None and uptime < STARTING_S:
        return Finding(id="OFF02", state="ok", said="receipts-soon", fields={"unsent": unsent})
    if age is None:
        return Finding(id="OFF02", state="fail", said="receipts-never", fields={"unsent": unsent}, next=NEXT)
    fields = {"age": age, "unsent": unsent}
    if age < FRESH_S:
        return Finding(id="OFF02", state="ok", said="receipts-fresh", fields=fields)
    return Finding(id="OFF02", state="fail", said="receipts-old", fields=fields, next=NEXT)
