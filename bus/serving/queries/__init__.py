"""Questions about the state, answered beside the writer.

answering        takes queries in, and sends their answers
reading          reads the store in one snapshot; lookups does so for single rows
awaited_places   queries that wait until the log has reached a position
awaited_changes  queries that wait for an event
turns            refuses queries that would wait too long
"""
