"""What people at the centre use: alarms pushed to them, acknowledged by them, told as a story.

app, central, service, settings   the parts put together; where the store is; what systemd is told; office.yaml
secret_values                 what stands for a secret in office.yaml, and where it comes from
notify                        who is pushed what
silence, watch, own_alarms    what the office itself raises an alarm for, and how
audit_heads, audit_watch      whether the sites' audits fit what they told before
completeness, ledger, quarantine, completeness_operations   what the record lacks, and what could not be used
keeping, clock_trust          rollups, what is purged, how the store grows; whether the clock may decide that
ingest_worker, follow         receiving in processes of its own; hearing what those stored
commands, refusals, command_operations  orders to sites; how much of what is refused is kept; orders at the terminal
auth, facts, trend, trend_rolled   accounts and tokens; what is known of sites, alarms and points; a point over time
console, api                  pages for people, answers for programs
local_api, operations, cli, cli_commands, cli_store   the local door, what can be asked there, and `sk office`
trust, enrol                  the office's keys; how boxes join
"""
