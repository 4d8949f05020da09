"""Requests in, answers out.

intake           commands as requests, and batches; decoding makes submissions of messages
durable          commands that a stream keeps until they are answered; durable_consumer takes them from it
dead_letters     commands that could not be carried out
queries          questions about the state, answered beside the writer
administration   what only an operator may ask; audit says who did
discovery        what is served, for whoever asks the network
prefix_claim     one prefix is served by one service
"""
