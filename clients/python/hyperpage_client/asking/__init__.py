"""Requests and their answers.

connection  one connection that is kept, and requests that are asked again until they are answered
questions   those that wait for an answer
durable     commands that a stream keeps
outgoing    commands on their way out
batch       those that go out together
seen        how far into the log a client has seen
"""
