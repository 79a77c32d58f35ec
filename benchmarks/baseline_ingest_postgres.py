"""Baselines for ingest into PostgreSQL: the same rows into the same kind of table, by INSERT or by COPY, no more."""

from collections.abc import Sequence

import psycopg

Row = tuple[int, int, object, int, int | None, int, int]
COPY = "COPY bare (point, at, value, q, source, block, position) FROM STDIN (FORMAT BINARY)"


INSERT = "INSERT INTO bare (point, at, value, q, source, block, position) VALUES (%s, %s, %s, %s, %s, %s, %s)"


def insert(url: str, batches: Sequence[Sequence[Row]], *, by_copy: bool) -> None:
    """Insert each batch in one transaction, as durable as the server is set."""
    with psycopg.connect(url, autocommit=True) as sql, sql.cursor() as cursor:
        sql.execute("DROP TABLE IF EXISTS bare")
        sql.execute(
            "CREATE TABLE bare (point integer NOT NULL, at bigint NOT NULL, value double precision, q smallint NOT"
            " NULL, source bigint, block bigint NOT NULL, position integer NOT NULL)"
        )
        sql.execute("CREATE INDEX ON bare (point, at)")
        for batch in batches:
            if not by_copy:
                with sql.transaction():
                    cursor.executemany(INSERT, batch)
                continue
            with sql.transaction(), cursor.copy(COPY) as copy:
                copy.set_types(("int4", "int8", "float8", "int2", "int8", "int8", "int4"))
                for row in batch:
                    copy.write_row(row)
