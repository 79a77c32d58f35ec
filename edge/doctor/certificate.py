"""CRT: how long is our certificate good? Pure."""

from datetime import UTC, datetime
from typing import Final

from edge.doctor.finding import Facts, Finding

DAY_S: Final = 86_400


def check(uplink: Facts) -> list[Finding]:
    """Judge its age (CRT01); a gateway that did not join has none, and nothing is said of it."""
    certificate = uplink.get("certificate")
    if certificate is None:
        return []
    ends = datetime.fromtimestamp(certificate["ends"] / 1e6, UTC).isoformat(timespec="seconds")
    fields = {"ends": ends, "days": round(certificate["left_s"] / DAY_S, 1), "why": certificate["problem"] or "-"}
    if certificate["stage"] == "over":
        return [Finding(id="CRT01", state="fail", said="certificate-over", fields=fields, next="sk join CODE")]
    if certificate["stage"] == "good":
        return [Finding(id="CRT01", state="ok", said="certificate-good", fields=fields)]
    if not certificate["problem"]:
        return [Finding(id="CRT01", state="ok", said="certificate-renewing", fields=fields)]
    return [Finding(id="CRT01", state="warn", said="certificate-due", fields=fields, next="sk sync status")]
