"""The gateway's side of `sk`: one file per command, and what they share.

of the daemon, by its socket    status, device, point, alarm, drill, lighting, muster, sync, quarantine,
                                audit, outbox, doctor, why
of a site folder                config, join, rule, run; of its record: backtest, watch_report; of a rule that runs:
                                explain
of neither                      probe, with probe_bacnet and probe_mqtt; version
shared                          client, output
"""
