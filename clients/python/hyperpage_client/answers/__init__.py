"""Rows, results and answers as structs. `make client` makes them from those of the service.

shared  the structs that many tables use

Each table has a module: app_state, events, jobs, queues, rate_limits, schedules and tool_configs.
"""
