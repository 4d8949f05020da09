"""Events, each once and in order.

change_events  events as they are received
subscription   every event: remote_log reads the log, live_feed the stream of events, whose state
               stream_report tells
job_end        waiting for the end of a job
"""
