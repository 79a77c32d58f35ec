"""The gateway's side of `sk`: one file per command, and what they share.

of the daemon, by its socket    status, device (its dump), bus, point, alarm, drill, lighting, mqtt, muster,
                                sync, quarantine, audit, outbox, doctor, why
of a site folder                config, join, rule, run; of its record: backtest, watch_report; of a rule that runs:
                                explain
of neither                      probe, with probe_modbus, its probe_guess, probe_bacnet, probe_mqtt; discover, with
                                discover_bacnet, discover_modbus, discover_mqtt and searching, which they share; version
shared                          client, output
"""
