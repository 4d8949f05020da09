"""The queries, a class for each table. All but `table` are made of the service's own (`make client`).

table  what all of them are made of

app_state, events, jobs, queues, rate_limits, schedules and tool_configs are the tables'.
"""
