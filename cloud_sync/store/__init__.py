"""The central store: one set of queries for two engines.

What ingest and the office need of it: `base`; what the queries need of an engine: `sql`. SQLite: `sqlite` (the store),
`sqlite_sql` (its connections), `schema` (its tables). PostgreSQL: `postgres` (the store), `postgres_sql` (its
connections), `postgres_schema` (its tables and partitions). `writer` runs transactions one after the other,
`asking` questions that may not be answered.

Writing: `apply` (all that one transaction brings), `alarms`, `volatile` (alarms told from memory), `turns` (whose
turn it is), `late` (alarms out of a site's history), `coverage`, `newest` (what is no point's latest value),
`push_log`, `bundles` (what people are told together), `heads` and `orders` (audit and commands), `streams` (which
blocks the office has had), `told` (what gateways tell of their losses), `identity` (who speaks as a site), `clocks`
(what a site's clock should have shown), `statuses` (which of two is the newer), `catalogues` (how many of a site),
`leaving` (what a revoked site leaves behind), `quarantine`.
Reading: `reader`, `history`, `export` (a stretch of a site's record, line by line), `ledger` (the completeness of a
site's day), `evidence` (what the store holds against its own completeness). Keeping: `fold` (a point's hour from its
samples; pure), `rollups` (minutes and hours; `rolled` reads them), `retention` (what is old enough goes), `sizes` (how
it grows), `backup` (copies of an SQLite store).
"""
