"""The service as a whole: where the parts are tied together.

process         serves until it is told to stop, restores, serves again
composition     every part of one service, started and stopped in order
roles           what a service does by its role: leading, or following
connections     to the broker, and the server for HTTP
standing_alone  no other service with the same prefix or store
steady_clock    the time of a service, whatever becomes of the machine's clock
endpoints       commands and queries, as the network finds them
handover        a commit on its way from the writer's thread to all that it concerns
notices         what is told beside events
background      the tasks that must not end before it does
errors          why a service ends
acts            what operators do, as it is recorded
restores        restores of a store that is served; a damaged one is recovered first
supervision     what systemd is told
traces          what OpenTelemetry is told
logs            how log lines look
demo            something to look at; installed_demo what aggregates of others bring of it
"""
