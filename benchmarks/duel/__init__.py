"""The duel: Sitekeeper and ThingsBoard Gateway on the same devices and the same broker, through the same faults.

`python -m benchmarks.duel [CASE...] [--quick]`, or `make duel`, which installs the peer from PyPI into an environment
of its own first. A module each:

field     Modbus devices that serve serial numbers and write down what they served
checker   compares what was served with what the centre has; knows neither product
centre    the peer's centre: takes and writes down what arrives (ours is our office, asked by plain SQL)
sides     how each product is configured and started; the peer as well as its own pages allow
cases     the faults

The peer's centre is a subscriber with a persistent session, QoS 1 and no limits, so that what is lost was lost before
it.
"""
