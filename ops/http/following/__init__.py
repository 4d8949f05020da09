"""Events over HTTP as they are committed.

source      something that many can follow at once
event_feed  the log as server-sent events, read once for all followers
tails       the newest events for the console's live page
"""
