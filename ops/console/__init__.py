"""The console: pages for operators, made here and readable without a script; what they need ships along.

    routing       how a page and an action are declared, and what answers where they are refused
    visit         one request of a browser: who asks, their session, and what the page says
    rendering     templates, and how times, sizes and JSON are written in them
    shown_events  events as pages show them
    files         style, scripts and icon, from the package's folder `static`
    routes        every page; each has a module of its own, and a template of the same name

A page asks the same queries, and an action sends the same commands, as any other client's. Who may not do
something sees no button for it, and is refused where they ask all the same.
"""
