"""Where a client sends, as a wire sees it."""

from hyperpage_client.contract.subjects import BusNames

NAMES = BusNames()

command = NAMES.command
durable_command = NAMES.durable_command
query = NAMES.query
