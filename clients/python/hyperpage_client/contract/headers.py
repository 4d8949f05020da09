"""The headers of commands and answers, by the names that senders and the service know them under."""

COMMAND_ID = "Hyperpage-Command-Id"
EXPECTED_VERSION = "Hyperpage-Expected-Version"
ACTOR = "Hyperpage-Actor"
# The actor of an administrative act by the command line is this, and its user's name.
COMMAND_LINE = "command-line:"
CORRELATION_ID = "Hyperpage-Correlation-Id"
CAUSATION_ID = "Hyperpage-Causation-Id"
TRACEPARENT = "traceparent"
# A second place for a durable command's answer, beside the results; its reply subject is JetStream's.
REPLY_TO = "Hyperpage-Reply-To"
# How new what was read is: the log's position and timeline. And what it has to be at least, in a query.
POSITION = "Hyperpage-Position"
TIMELINE = "Hyperpage-Timeline"
MINIMUM_POSITION = "Hyperpage-Min-Position"
# Who is to answer a query: the leader alone, or whoever is asked, as without it. And how long ago one that
# follows was known to have all of the log.
READ = "Hyperpage-Read"
AGE_MS = "Hyperpage-Age-Ms"
# An answer that is an error has these: its code and text, and its number (Services API, NATS ADR-32).
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"
