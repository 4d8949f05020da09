"""The tables: for each a class with its queries and commands. They are made of the service's own (`make client`).

app_state, events, jobs, queues, rate_limits, schedules and tool_configs are the tables'.
"""
