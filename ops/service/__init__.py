"""The service as a whole: where the parts are tied together.

composition  every part, started and stopped in order
restores     restores of a store that is served
supervision  what systemd is told
traces       what OpenTelemetry is told
logs         how log lines look
demo         something to look at
"""
