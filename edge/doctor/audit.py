"""AUD: does the audit stand, and is there room for more of it? Pure."""

from edge.doctor.finding import Facts, Finding


def check(status: Facts) -> list[Finding]:
    """Judge by what the daemon found when it last read all of it (AUD01)."""
    audit = status.get("audit")
    if audit is None or audit["stands"] is None:
        return [Finding(id="AUD01", state="ok", said="audit-unread")]
    fields = {name: audit[name] for name in ("rows", "kept", "most")}
    if not audit["stands"]:
        return [Finding(id="AUD01", state="fail", said="audit-broken", fields=fields, next="sk audit verify")]
    if audit["kept"] * 10 >= audit["most"] * 8:
        return [Finding(id="AUD01", state="warn", said="audit-full", fields=fields, next="sk sync status")]
    return [Finding(id="AUD01", state="ok", said="audit-stands", fields=fields)]
