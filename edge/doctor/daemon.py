"""DMN: does the daemon answer? Pure."""

from edge.doctor.finding import Facts, Finding


def check(status: Facts | None, message: str) -> list[Finding]:
    """Judge by the daemon's status, or by why there is none."""
    if status is None:
        fields = {"message": message}
        return [Finding(id="DMN01", state="fail", said="daemon-silent", fields=fields, next="sk run --site DIR")]
    fields = {"site": status["site"], "uptime": status["uptime_s"], "version": status["version"]}
    return [Finding(id="DMN01", state="ok", said="daemon-answers", fields=fields)]
