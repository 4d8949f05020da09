"""Requests and their answers.

connection  one connection that is kept, and requests that are asked again until they are answered
questions   the requests that wait for an answer
durable     commands that a stream keeps
outgoing    commands as they are sent
batch       commands that are sent together
seen        how far into the log a client has seen
"""
