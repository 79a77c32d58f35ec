"""The gateway daemon: one site, from its devices to what is durable and on its way to the office."""
