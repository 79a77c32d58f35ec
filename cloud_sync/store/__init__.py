"""The central store: what ingest and the office need of it (`base`), and SQLite (`sqlite`)."""
