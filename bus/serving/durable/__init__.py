"""Commands that a stream keeps until they are answered.

intake      takes them, in order, and answers them
consumer    the stream that they come from; delivery is one of its messages
portions    what is decided together; pace says when, beside requests
results     the stream of their answers, which are kept for some hours
suspects    those with which the service went down; poison says which of them are put aside
"""
