"""Rows, results and answers as structs. They are made of the service's own (`make client`).

shared  those of many tables

app_state, events, jobs, queues, rate_limits, schedules and tool_configs are the tables'.
"""
