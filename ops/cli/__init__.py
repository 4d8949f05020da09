"""The command line, `hyperpage`.

    main         all commands, and how each ends
    serve, messages (send, query), tail, schema, status, doctor, projections, migrate, dead_letters (dlq),
    stream, token, user, console, import_file, files,
    audit
                 one command a module; backup and analytics are packages
    asking       how a command asks a running service
    recording    what a command does by itself, in the audit log
    stopped      the store of a stopped service, as a command works on it
    terminal     options, results, progress, and how a command fails

Modules are imported where a command needs them, so that `hyperpage --help` answers at once.
"""
