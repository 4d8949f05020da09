"""The command line, `hyperpage`.

    main         all commands, their groups and their exit codes
    serve, messages (send, query), tail, status, doctor, projections, cluster, token, user, audit,
    console, import_file, files, nats_config, new_aggregate
                 one command a module; contract (schema, client-types), backup, streams (dlq, stream),
                 upgrading (check-upgrade, migrate) and analytics are packages
    asking       requests of a command to a running service
    stopped      a command's access to the store of a stopped service
    terminal     options, results, progress and failures of commands

Commands import other modules only when they need them, so that `hyperpage --help` answers at once.
"""
