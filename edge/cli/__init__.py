"""The gateway's side of `sk`: one file per command, and what they share.

of the daemon, by its socket    status, device, point, alarm, sync, quarantine, audit, outbox,
                                doctor, why
of a site folder                config, join, rule, run
of neither                      probe, with probe_bacnet and probe_mqtt; version
shared                          client, output
"""
