"""The headers of commands and answers, by the names that senders and the service know them under."""

COMMAND_ID = "Hyperpage-Command-Id"
EXPECTED_VERSION = "Hyperpage-Expected-Version"
ACTOR = "Hyperpage-Actor"
# What the command line says as the actor of an administrative act: this, and its user's name.
COMMAND_LINE = "command-line:"
CORRELATION_ID = "Hyperpage-Correlation-Id"
CAUSATION_ID = "Hyperpage-Causation-Id"
TRACEPARENT = "traceparent"
# Where a durable command's answer shall go beside the results; its reply subject is JetStream's.
REPLY_TO = "Hyperpage-Reply-To"
# Of an answer that is an error, by the rules of the Services API (NATS ADR-32): what it is, and its number.
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"
