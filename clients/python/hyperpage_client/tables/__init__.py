"""A class for each table, with its queries and commands. `make client` makes them from the service's.

Each table has a module: app_state, events, jobs, queues, rate_limits, schedules and tool_configs.
"""
