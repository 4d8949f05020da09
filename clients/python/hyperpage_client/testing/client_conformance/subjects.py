"""The subjects that a client sends to, as a wire sees them."""

from hyperpage_client.contract.subjects import BusNames

NAMES = BusNames()

command = NAMES.command
durable_command = NAMES.durable_command
query = NAMES.query
