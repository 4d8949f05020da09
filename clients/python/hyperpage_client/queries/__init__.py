"""The queries, a class for each table. `make client` makes all but `table` from those of the service.

table  the base of these classes

Each table has a module: app_state, events, jobs, queues, rate_limits, schedules and tool_configs.
"""
