"""The command line, `hyperpage`.

    main         all commands, and how each ends
    serve, messages (send, query), tail, status, doctor, projections, cluster, token, user, audit,
    console, import_file, files, nats_config, new_aggregate
                 one command a module; contract (schema, client-types), backup, streams (dlq, stream),
                 upgrading (check-upgrade, migrate) and analytics are packages
    asking       how a command asks a running service
    stopped      the store of a stopped service, as a command works on it
    terminal     options, results, progress, and how a command fails

Modules are imported where a command needs them, so that `hyperpage --help` answers at once.
"""
