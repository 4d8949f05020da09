"""The HTTP side of the service: its API, who may use it, and what is refused.

    server      listens, and outlives the services that come and go with each restore
    backend     the service behind it, while there is one: the way to commands, queries, administration
    app         what is found where: every route with the role that it needs
    routes_…    the routes, by subject
    problem     errors as they are answered

What a request asks for goes the way of every message: the limits of the intake, the writer, the readers.
"""
