"""What people at the centre use: alarms pushed to them, acknowledged by them, told as a story.

app, central, service, settings   the parts put together; where the store is; what systemd is told; office.yaml
secret_values                 what stands for a secret in office.yaml, and where it comes from
notify, composer              who is pushed what, and in which words
settings_routes, audience     what office.yaml says of that; which alarms only security may know of
silence, hearing, watch, own_alarms   what the office itself raises an alarm for, and how
silence_watch, away           who looks after GW01 and GW15; GW16, pushed from memory
database, health              whether the store's database answers; how the office itself stands
audit_heads, audit_watch      whether the sites' audits fit what they told before
completeness, ledger, stretches   what the record lacks; how a day stands, and each stretch of time in it
quarantine, completeness_operations   what could not be used; both at the terminal
keeping, clock_trust          rollups, what is purged, how the store grows; whether the clock may decide that
ingest_worker, follow         receiving in processes of its own; hearing what those stored
commands, refusals, command_operations  orders to sites; how much of what is refused is kept; orders at the terminal
writable, alarm_orders        what may be commanded from here; what may be ordered of an alarm
quality                       the figures of alarm quality over the store
auth, known, facts            accounts and tokens; catalogues, and who may know what; sites, alarms and points
trend, trend_rolled           a point over time
console, api                  pages for people, answers for programs
local_api, operations         the local door and what can be asked there
cli, cli_commands, cli_store, cli_words, export   `sk office`
trust, enrol                  the office's keys; how boxes join
"""
