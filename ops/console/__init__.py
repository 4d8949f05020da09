"""The console: pages for operators, rendered on the server and readable without a script.

    routes        the list of all pages
    pages/        the pages: a module for each subject, which names its templates
    routing       how a page and an action are declared, and how they are refused
    visit         one request of a browser: the visitor, their session, and all that a page may ask for
    shown_events  events as pages show them
    command_form  a form that follows from the struct of a command
    written       JSON, times and numbers as they are written into fields
    typed         what was typed into a form that was refused, so that it has it again
    files         style, scripts and icon, which lie in `static/`
    rendering     the templates, and how they write times, sizes and JSON

A page asks the same queries and an action sends the same commands as any other client. A visitor who may not
do something sees no button for it, and is refused if they send it all the same.
"""
