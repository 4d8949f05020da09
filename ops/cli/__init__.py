"""The command line, `hyperpage`: what it offers, and how each command ends.

    main         every command, and how it ends
    serve, messages (send, query), tail, status, doctor, stream, migrate, import_file, schema, files, token
                 a module for each command; those of several commands are packages
    asking       how a command asks a running service
    terminal     options, output, progress, exit codes

Modules are imported where a command needs them, so that `hyperpage --help` answers at once.
"""
