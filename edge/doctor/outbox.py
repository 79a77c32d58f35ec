"""OUT: is what happens written down, and is there room for more? Pure."""

from collections.abc import Mapping
from typing import Final

from edge.doctor.finding import Facts, Finding, State

MB: Final = 1_000_000
LOW_MB, LEAST_MB = 1_000, 200
"""Free space below which the disk is a warning, and below which it is a fault."""

DAY_S: Final = 86_400


def writes(status: Facts) -> list[Finding]:
    """Judge whether the outbox writes (OUT01)."""
    outbox = status["outbox"]
    if outbox["state"] != "ok":
        fields = {"error": outbox["state"]}
        return [Finding(id="OUT01", state="fail", said="writes-not", fields=fields, next="df -h; sk sync status")]
    if dropped := outbox["samples_dropped"]:
        fields = {"count": dropped}
        return [Finding(id="OUT01", state="warn", said="writes-dropped", fields=fields, next="sk sync status")]
    return [Finding(id="OUT01", state="ok", said="writes")]


def disk(path: str, free: int | None) -> list[Finding]:
    """Judge the bytes that are free beside the outbox at `path` (OUT02); None: nobody could tell."""
    if free is None:
        fields: dict[str, object] = {"path": path}
        return [Finding(id="OUT02", state="warn", said="disk-unknown", fields=fields, next=f"ls -ld {path}")]
    fields = {"path": path, "free": free // MB}
    if free >= LOW_MB * MB:
        return [Finding(id="OUT02", state="ok", said="disk-free", fields=fields)]
    state: State = "fail" if free < LEAST_MB * MB else "warn"
    return [Finding(id="OUT02", state=state, said="disk-low", fields=fields, next="df -h; journalctl --disk-usage")]


def saved(status: Facts) -> list[Finding]:
    """Name each file that was damaged or replaced and lies beside the outbox (OUT03), until somebody takes it away."""
    found = [_quarantine(each) for each in status["outbox"].get("quarantines", ())]
    return found or [Finding(id="OUT03", state="ok", said="quarantine-none")]


def evicted(status: Facts) -> list[Finding]:
    """Judge what was dropped for want of space (OUT04); of what is more than a day ago it is only told."""
    dropped = status["outbox"].get("dropped") or {"blocks": 0}
    if not dropped["blocks"]:
        return [Finding(id="OUT04", state="ok", said="evicted-none")]
    fields = {name: dropped[name] for name in ("blocks", "records", "last")}
    if dropped["age_s"] > DAY_S:
        return [Finding(id="OUT04", state="ok", said="evicted-before", fields=fields)]
    return [Finding(id="OUT04", state="warn", said="evicted", fields=fields, next="sk outbox stats")]


def _quarantine(each: Facts) -> Finding:
    fields: dict[str, object] = {"at": each["at"], "folder": each["folder"]}
    following = f"ls -l {each['folder']}"
    if "why" not in each:
        return Finding(id="OUT03", state="warn", said="quarantine-unknown", fields=fields, next=following)
    lost = {stream: "?" if blocks < 0 else blocks for stream, blocks in each["lost"].items()}
    fields |= {"why": each["why"], "lost": _counts(lost), "saved": _counts(each["saved"])}
    said = "quarantine" if each["alarms"] == "kept" else "quarantine-alarms"
    return Finding(id="OUT03", state="warn", said=said, fields=fields, next=following)


def _counts(streams: Mapping[str, object]) -> str:
    return ", ".join(f"{stream} {blocks}" for stream, blocks in streams.items()) or "-"
