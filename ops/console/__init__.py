"""The console: pages for operators, rendered on the server and readable without a script.

    routes        the list of all pages
    pages/        the pages: a module or a folder for each subject, which names its templates
    routing       how a page and an action are declared, and how they are refused
    visit         one request of a browser: the visitor, their session, and all that a page may ask for
    shown_events  events as pages show them
    command_form  forms made from the structs of commands
    written       JSON, times and numbers as users type them into fields
    typed         keeps the input of a refused form, to be shown again
    files         style, scripts and icon, which lie in `static/`
    rendering     the templates, and how they write times, sizes and JSON

Pages ask the same queries and actions send the same commands as any other client. A visitor without the role
that an action needs sees no button for it, and is refused if they send it all the same.
"""
