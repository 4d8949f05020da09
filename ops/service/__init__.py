"""The service as a whole: where the parts are tied together.

process      serves until it is told to stop, restores, serves again
composition  every part of one service, started and stopped in order
sound_store  what is done to a store before it is opened
connections  to the broker; listening: over HTTP
endpoints    commands and queries, as the network finds them
commits      a commit, handed on to all that it concerns
notices      what is told beside events
errors       why a service ends
restores     restores of a store that is served
supervision  what systemd is told
traces       what OpenTelemetry is told
logs         how log lines look
demo         something to look at
"""
