"""The HTTP API: its routes, who may use it, and what it refuses.

    server          listens, and stays when a restore replaces the service behind it
    app             puts routes, layers and error handlers together
    openapi/        the document /openapi.json, made from the routes' own descriptions, and the page /docs
    routes/         the routes, by subject
    shipped_files   the scripts and styles that pages load
    routing         how a route is declared, and what handlers get from a request
    operations      how a route describes itself for the document
    access/         the caller, and what they may do
    layers/         the middleware that every request passes
    connections/    the connections: deadlines, strict reading
    backend         the running service behind the server: commands, queries, administration
    following/      events as they are committed
    meaning         which command or query a path, a method and parameters stand for
    forms           the fields of a form that a page sends
    preconditions   ETags and expected versions
    shared_answers  one answer for many pages that ask the same at once
    problem         errors as problem details
    refusals        the errors that only HTTP has

A request takes the same way as a message on the bus: the intake with its limits, the writer, the readers.
"""
