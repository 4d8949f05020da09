"""Questions about the state, answered beside the writer.

answering       queries come in, and answers go out
reading         the store, read in one snapshot; lookups are those for one row
awaited_places  those that wait until the log has come to a place
awaited_changes  those that wait until something has come about
turns           whose are refused where not all have their turn soon
"""
