"""The office's console: pages for the people at the centre, live by server-sent events, made on the server.

server, web, parts            opens the port; the application put together; what its routes speak to, and who asks
gate, hurried, login          who gets in, and how long a request may take to come
pages, told, brief, happened  sites, devices, alarms, trends; one alarm's story; devices and events in few words
held_pages, quality_page      what is kept from sight; how good the alarms are
record_pages, fleet           how complete the record is, and the room on sites; the ledger of all sites, counted ahead
command_pages                 commands: asked for, agreed to, what came of them
render, words, assets         from facts to HTML, in three languages
stream, reading               events to browsers; the store read away from the loop
"""
