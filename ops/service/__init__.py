"""The service as a whole: puts the parts together.

process         serves until it is told to stop, restores, serves again
composition     every part of one service, started and stopped in order
roles           what a service does by its role: leading, or following
connections     connections to the broker, and the HTTP server
standing_alone  makes sure that no other service has the same prefix or store
steady_clock    the time of a service, which does not follow jumps of the machine's clock
endpoints       the endpoints of commands and queries for discovery on the network
requests        answers queries, administration, and requests about streams
handover        passes commits from the writer's thread to the other parts
notices         messages beside events: notices of commits, backups and acts
background      the tasks that run beside commands and queries until the service ends
errors          the errors that end a service
acts            records the acts of operators
restores        restores of a served store; recovery of a damaged one before it is opened
supervision     messages to systemd
traces          spans for OpenTelemetry
logs            the format of log lines
demo            what `--demo` plays
"""
