"""Events, each once and in order.

change_events  events as a client gets them
subscription   every event, from the log and then live
remote_log     the log, read page by page
live_feed      live events, pulled from the stream of events
stream_report  the state of that stream
job_end        waiting for the end of a job
"""
