"""The HTTP API: its routes, who may use it, and what it refuses.

    server          listens, and outlives the services that come and go with each restore
    app             puts routes, layers and error handlers together
    openapi/        the document /openapi.json, made of what the routes say of themselves, and the page /docs
    routes/         the routes, by subject
    shipped_files   the scripts and styles that pages load
    routing         how a route is declared, and what every handler may ask for
    operations      what a route says of itself for the document
    access/         the caller, and what they may do
    layers/         what every request goes through
    connections/    the connections: deadlines, strict reading
    backend         the running service behind the server: commands, queries, administration
    following/      events as they are committed
    meaning         which command or query a path, a method and parameters stand for
    forms           what a form of a page sends
    preconditions   ETags and expected versions
    shared_answers  one answer for many pages that ask the same at once
    problem         errors as problem details
    refusals        the errors that only HTTP has

A request takes the way of every message: the limits of the intake, the writer, the readers.
"""
