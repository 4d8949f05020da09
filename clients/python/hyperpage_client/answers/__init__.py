"""Rows, results and answers as structs. `make client` makes them of the service's own.

shared  the structs that many tables use

Each table has a module: app_state, events, jobs, queues, rate_limits, schedules and tool_configs.
"""
