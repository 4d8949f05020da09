"""Every command as a struct: a module for each table. They are made of the service's own (`make client`).

fields  the types of fields that many of them have

app_state, jobs, rate_limits, schedules and tool_configs are the tables'.
"""
