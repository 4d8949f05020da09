"""How the command line asks a running service over HTTP, where the bus is what is out of order."""

import asyncio
import http.client
from pathlib import Path
from urllib.parse import urlsplit

from ops.cli.terminal.options import settings_for
from ops.store.data_directory import read_runtime

# More than the longest report.
MAXIMUM_BYTES = 4 * 1024 * 1024


async def asked_over_http(data: Path | None, path: str, *, timeout_seconds: float) -> bytes | None:
    """The JSON that the service on a directory answers with; `None` where it does not, or not to us."""
    runtime = read_runtime(settings_for(data).data)
    if runtime is None or runtime.http_url is None:
        return None
    return await asyncio.to_thread(_asked, runtime.http_url, path, timeout_seconds)


def _asked(url: str, path: str, timeout_seconds: float) -> bytes | None:
    # The address itself, and no proxy that the environment may name.
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MAXIMUM_BYTES)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    # A service that is unhealthy says so, and how, with 503; a problem is no answer.
    return body if response.headers.get_content_type() == "application/json" else None
