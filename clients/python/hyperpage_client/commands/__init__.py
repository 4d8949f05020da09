"""Every command as a struct. `make client` makes them from those of the service.

fields  the types of fields that many commands have

Each table with commands has a module: app_state, jobs, rate_limits, schedules and tool_configs.
"""
