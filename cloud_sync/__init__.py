"""Both ends of the way between a site and its office, and the office's store.

Shared: `wire` (topics and small messages), `session` (a connection; `mqtt` with `mqtt_settings`, and `memory`, make
them), `inbox` (what waits to be taken), `signing`.
Site: `uplink` (the shell), `uplink_machine` with `uplink_records`, `uplink_values`, `lanes` (what goes first), `tempo`
(how long receipts take), `probing` (of an office that is silent), `pace` (bytes and rates), `holds` (what is left
aside), `history` (what the office asks for again), `direct` (past the disk), `saved` (of an earlier outbox), `downlink`
(what comes down), `acks` (to the door).
Office: `ingest` (the shell) with `ingest_settings`, `dealer` (each site in its turn), `ingest_machine` with
`ingest_records` and `ingest_parking` (what waits), `ingest_shared` (several workers), `grouping` (how much goes into a
transaction), `fit` (what can be stored), `lacking` (which blocks to ask for), `ledger` (how complete a time is). The
store: `store`.
"""
