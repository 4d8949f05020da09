"""A real nginx in front of a service, with the one line that an operator would write."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import wait_for

# Only `proxy_pass`: no header tells of the proxy, and `Host` is that of the service itself.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {service}; }}
    }}
}}
"""


@contextmanager
def nginx_before(service: str, folder: Path) -> Iterator[str]:
    """The address of an nginx that hands everything on to a service; without nginx, the test is skipped."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("there is no nginx (`.ci/nginx` installs it)")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, service=service))
    started = subprocess.Popen([program, "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")])
    try:

        def listens() -> bool:
            assert started.poll() is None, (folder / "error.log").read_text()
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(20)
