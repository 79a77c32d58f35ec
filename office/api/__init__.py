"""The office's HTTP API, `/api/v1`: the same facts as the console's pages, as JSON."""
