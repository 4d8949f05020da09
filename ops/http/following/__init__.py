"""Events over HTTP as they are committed.

event_feed  the log as server-sent events, read once for all followers
tails       the newest events for the console's live page
"""
