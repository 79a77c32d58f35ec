"""Deterministic simulation of the sync: real machines, real blocks, real store; a seed decides everything else.

`world` puts it together and is what one wants to read first. `scheduler` is virtual time and the hash of all events;
`faults` draws a plan of faults from a seed; `broker` is MQTT and the links to it; `outbox` is what is durable at a
site, with its workload, and `material` the blocks; `gateway` and `office` are the two shells around the machines;
`beside` is what a gateway sends past its pump, `desk` the office's orders and the site's door for them;
`oracle` checks; `outage` runs long cuts with a whole day's blocks; `bugs` breaks the product on purpose; `search` looks
through seeds and shrinks what it finds.

    python -m tests.simulation --seeds 500
    python -m tests.simulation replay SEED
    python -m tests.simulation bugs
"""
