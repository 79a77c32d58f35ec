"""All checks over all facts, what matters most first. Pure."""

from edge.doctor import audit, certificate, clock, daemon, devices, office, outbox
from edge.doctor.facts import Known
from edge.doctor.finding import RANK, Finding


def examine(known: Known) -> list[Finding]:
    """Return the findings: faults before warnings before what is well; among equals, the cause before its effects."""
    said = known.daemon
    found = daemon.check(None if said is None else said.status, known.problem.message if known.problem else "")
    if said is not None:
        found += outbox.writes(said.status) + outbox.saved(said.status) + outbox.evicted(said.status)
    found += outbox.disk(known.outbox, known.free)
    if said is not None:
        silent = [device for device in said.shown.values() if device["state"] == "silent"]
        found += devices.silent(said.devices, silent)
        found += devices.refused(said.shown, said.refused)
        found += office.check(said.status, said.sync) + certificate.check(said.sync["uplink"])
        found += audit.check(said.status) + clock.agrees(said.sync["uplink"])
    found += clock.check(trusted=known.clock_trusted)
    return sorted(found, key=lambda finding: RANK[finding.state])
