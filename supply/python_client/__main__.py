"""Puts the modules into the client."""

from supply.python_client.modules import CLIENT, modules

for path, source in modules().items():
    target = CLIENT / path
    target.parent.mkdir(exist_ok=True)
    target.write_text(source)
