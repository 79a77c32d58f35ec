"""How the figures of outbox, ingest, backfill and outage become rows of the table."""

from typing import Any

from benchmarks.rows import Row, figure, row


def outbox(found: Any) -> list[Row]:
    cases, ratios = found["cases"], found["ratios"]
    best, base = "outbox, blocks of 500, group commit", "baseline, rows, a commit per 5,000"
    rate, rows_ = cases[best]["samples/s"], cases[base]["samples/s"]
    ratio = next(value for name, value in ratios.items() if name.endswith(base))
    slow = cases["outbox, 50 changes a commit (50/s)"]["bytes written a sample"]
    return [
        row(
            "Outbox, durable samples",
            ">= 100,000 a second",
            figure(rate, ",.0f", "/s"),
            rate[0] >= 100_000,
            base=f"{base}: {figure(rows_, ',.0f', '/s')}",
            ratio=figure(ratio, ".2f"),
        ),
        row(
            "Outbox, bytes written at 50 changes/s",
            "(printed)",
            f"{slow[0]:.0f} bytes a sample, {slow[0] * 50 * 86_400 / 1e9:.2f} GB a day",
            None,
        ),
    ]


def blocks(found: Any) -> list[Row]:
    return [
        row(
            f"Bytes a sample in full blocks, {kind} estate",
            "<= 5",
            f"{found[f'{kind}_block_bytes']:.2f}",
            found[f"{kind}_block_bytes"] <= 5,
            base=f"rows of a table: {found[f'{kind}_row_bytes']:.1f}",
            ratio=f"{found[f'{kind}_block_bytes'] / found[f'{kind}_row_bytes']:.2f}",
        )
        for kind in ("slow", "noisy")
    ]


def ingest_postgres(found: Any) -> list[Row]:
    return [
        row(
            "Ingest at the office, PostgreSQL",
            ">= 0.5 of the bare insert, which is COPY",
            f"{found['ours_rows_a_second']:,} rows/s; two workers {found['two_workers_rows_a_second']:,}",
            found["ratio"] >= 0.5,
            base=f"bare binary COPY: {found['bare_rows_a_second']:,} rows/s",
            ratio=figure((found["ratio"], *found["ratio_spread"]), ".2f"),
        ),
        row(
            "Ingest at the office, PostgreSQL",
            "(the same, beside INSERT statements)",
            f"{found['ours_rows_a_second']:,} rows/s",
            None,
            base=f"bare INSERT, executemany: {found['bare_insert_rows_a_second']:,} rows/s",
            ratio=figure((found["ratio_to_insert"], *found["ratio_to_insert_spread"]), ".2f"),
        ),
    ]


def backfill(found: Any) -> list[Row]:
    return [
        row(
            f"Backfill of {one['of'] / 1e6:g} M samples, end to end, {engine}",
            ">= 0.5 of the bare insert",
            f"{one['drained']:,} of {one['of']:,} in {one['seconds']:.0f} s, {one['samples a second']:,} samples/s;"
            f" of a core: gateway {one['cpu % of a core']['gateway']} %, office {one['cpu % of a core']['office']} %",
            one["ratio"] >= 0.5 and one["drained"] >= one["of"],
            base=f"bare insert: {one['bare rows a second']:,} rows/s",
            ratio=f"{one['ratio']:.2f}",
        )
        for engine, one in found.items()
    ]


def outage(found: Any) -> list[Row]:
    away, back, calm = found["without an office"], found["while it drains"], found["nothing waiting"]
    waiting = f"{found['samples waiting']:,} samples, {found['MB of the file']} MB of file"
    return [
        row(
            f"Memory with an hour of outage waiting ({waiting}), 300 devices",
            "<= 100 MB, and flat",
            f"{figure(away['memory MB'], '.0f', ' MB')}, last over first {away['memory, last over first']}; while it"
            f" drains {figure(back['memory MB'], '.0f', ' MB')}; open files {away['open files'][0]} to"
            f" {away['open files'][1]}; polls kept {away['polls kept'][0]:.0%}",
            away["memory MB"][2] <= 100 and away["memory, last over first"] <= 1.02,
            base=f"the same site with nothing waiting: {calm['memory MB'][0]:.0f} MB",
            ratio=f"{away['memory MB'][0] / calm['memory MB'][0]:.2f}",
        ),
        row(
            "CPU without an office, the same",
            "<= 5 % of one core",
            f"{figure(away['cpu % of a core'], '.1f', ' %')}; while it drains"
            f" {figure(back['cpu % of a core'], '.1f', ' %')}",
            away["cpu % of a core"][0] <= 5,
            base=f"the same site with nothing waiting: {calm['cpu % of a core'][0]:.1f} %",
            ratio=f"{away['cpu % of a core'][0] / calm['cpu % of a core'][0]:.2f}",
        ),
    ]


def ingest(found: Any) -> list[Row]:
    ratio = (found["ratio"], *found["ratio_spread"])
    return [
        row(
            "Ingest at the office, SQLite",
            ">= 0.5 of the bare insert",
            f"{found['ours_rows_a_second']:,} rows/s",
            ratio[0] >= 0.5,
            base=f"bare insert: {found['bare_rows_a_second']:,} rows/s",
            ratio=figure(ratio, ".2f"),
        )
    ]


def record(found: Any) -> list[Row]:
    return [
        row(
            f"The record at the office, {kind}",
            "one point's day in milliseconds" if "rows" in kind else "(the other way, docs/decisions/013)",
            f"{one['with the blocks rows']} bytes a sample, {one['samples a second']:,} samples/s in, a point's day in"
            f" {one['ms for its day']:,.0f} ms; 300 sites x 50/s: {one['GB a day']} GB a day",
            one["ms for its day"] <= 100 if "rows" in kind else None,
        )
        for kind, one in found.items()
        if isinstance(one, dict)
    ]
