"""The office's console: pages for the people at the centre, live by server-sent events, made on the server."""
