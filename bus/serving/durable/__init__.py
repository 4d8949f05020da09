"""Commands that a stream keeps until they are answered.

intake      takes the commands, in order, and answers them
consumer    the stream that they come from; delivery is one of its messages
portions    the commands that are decided together; pace says when, beside requests
results     the stream of their answers, which are kept for some hours
suspects    commands with which the service went down; poison says which of them are put aside
"""
