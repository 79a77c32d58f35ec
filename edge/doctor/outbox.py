"""OUT: is what happens written down, and is there room for more? Pure."""

from typing import Final

from edge.doctor.finding import Facts, Finding, State

MB: Final = 1_000_000
LOW_MB, LEAST_MB = 1_000, 200
"""Free space below which the disk is a warning, and below which it is a fault."""


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
