"""OFF: is the office connected, and does it say that it has what it was sent? Pure."""

from typing import Final

from edge import health
from edge.doctor.finding import Facts, Finding
from sitekeeper.model.clock import SECOND

STARTING_S: Final = 60
"""For so long after its start a gateway may be without a connection."""
REFUSALS: Final = ("not-authorised", "too-large", "quota")
"""Words of the uplink for reason codes of the broker that have a sentence of their own here."""
REACHED: Final = ("connected", "waiting")
"""States in which the broker has taken us; in `waiting` it is the office that is not heard."""
NEXT: Final = "sk sync status"
REJOIN: Final = "sk join CODE"


def check(status: Facts, sync: Facts) -> list[Finding]:
    """Judge the connection (OFF01), the receipts (OFF02), and whether we are alone with our name (OFF03)."""
    uplink, uptime = sync["uplink"], status["uptime_s"]
    if uplink["state"] == "none":
        return [Finding(id="OFF01", state="ok", said="office-none")]
    unsent = sum(stream["blocks"] for stream in sync["unsent"].values())
    return [_connection(uplink, uptime), _receipts(uplink, unsent, uptime), _alone(uplink, status.get("boot", ""))]


def _connection(uplink: Facts, uptime: int) -> Finding:
    if uplink.get("revoked"):
        return Finding(id="OFF01", state="fail", said="office-revoked", next=REJOIN)
    refused = next(iter(uplink.get("refused", {}).items()), None)
    if refused is not None:
        stream, (code, word) = refused[0], refused[1].split(" ", 1)
        said = f"office-{word}" if word in REFUSALS else "office-refused"
        return Finding(id="OFF01", state="fail", said=said, fields={"stream": stream, "code": code}, next=NEXT)
    if uplink["state"] in REACHED:
        return Finding(id="OFF01", state="ok", said="office-connected", fields={"protocol": uplink["protocol"]})
    fields = {"state": uplink["state"], "error": uplink["last_error"]}
    if uptime < STARTING_S:
        fields["uptime"] = uptime
        return Finding(id="OFF01", state="warn", said="office-starting", fields=fields, next=NEXT)
    said = "office-half-open" if uplink.get("half_open") else "office-away"
    if uplink.get("ended_by_broker", "").endswith("taken-over"):
        said = "office-taken-over"
    return Finding(id="OFF01", state="fail", said=said, fields=fields, next=NEXT)


def _alone(uplink: Facts, boot: str) -> Finding:
    age = uplink.get("taken_over_age_s")
    if not health.twins(None if age is None else int(age * SECOND)):
        return Finding(id="OFF03", state="ok", said="office-alone")
    return Finding(id="OFF03", state="fail", said="office-twin", fields={"age": age, "boot": boot}, next=NEXT)


def unreceived(uplink: Facts, unsent: int, uptime: int) -> bool:
    """Tell whether the office does not receive what waits; by the same limits as `sk status`."""
    age = uplink["receipt_age_s"]
    heard = None if age is None else int(age * SECOND)
    nobody = uplink.get("nobody_listens", False)
    return health.unreceived(uplink["state"], heard, unsent, uptime * SECOND, nobody=nobody)


def _receipts(uplink: Facts, unsent: int, uptime: int) -> Finding:
    age = uplink["receipt_age_s"]
    if not unsent:
        return Finding(id="OFF02", state="ok", said="receipts-none-due")
    if age is None and uptime < STARTING_S:
        return Finding(id="OFF02", state="ok", said="receipts-soon", fields={"unsent": unsent})
    if age is None:
        return Finding(id="OFF02", state="fail", said="receipts-never", fields={"unsent": unsent}, next=NEXT)
    fields = {"age": age, "unsent": unsent}
    if not unreceived(uplink, unsent, uptime):
        return Finding(id="OFF02", state="ok", said="receipts-fresh", fields=fields)
    return Finding(id="OFF02", state="fail", said="receipts-old", fields=fields, next=NEXT)
