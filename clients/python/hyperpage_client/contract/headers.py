"""The headers of commands and answers, by the names that senders and the service know them under."""

COMMAND_ID = "Hyperpage-Command-Id"
EXPECTED_VERSION = "Hyperpage-Expected-Version"
ACTOR = "Hyperpage-Actor"
# The beginning of the actor of an administrative act by the command line; the user's name follows.
COMMAND_LINE = "command-line:"
CORRELATION_ID = "Hyperpage-Correlation-Id"
CAUSATION_ID = "Hyperpage-Causation-Id"
TRACEPARENT = "traceparent"
# A second subject for a durable command's answer, beside the results; its reply subject is JetStream's.
REPLY_TO = "Hyperpage-Reply-To"
# In an answer: how new it is, as the log's position and timeline. In a query: how new it must be at least.
POSITION = "Hyperpage-Position"
TIMELINE = "Hyperpage-Timeline"
MINIMUM_POSITION = "Hyperpage-Min-Position"
# In a query: the leader alone is to answer; without it, any member. In a follower's answer: how long ago the
# follower was known to have all of the log.
READ = "Hyperpage-Read"
AGE_MS = "Hyperpage-Age-Ms"
# An answer that is an error has these: its code and text, and its number (Services API, NATS ADR-32).
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"
