"""`hyperpage files`: prints files that a deployment needs beside the program, and that come with it."""

from importlib.resources import files as resources
from typing import Annotated

from cyclopts import Parameter

from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import print_result, print_table

# The name and purpose of each; `docs/deployment.md` says how they are used.
FILES = {
    "hyperpage.toml": "every setting, with its meaning and its default",
    "hyperpage.service": "a unit for systemd",
    "nats-server.conf": "a stock nats-server beside the service, as in compose.yaml",
    "nats-cluster.conf": "one of three for several services, as in compose.cluster.yaml",
    "alert-rules.yml": "alerts for Prometheus",
    "grafana-dashboard.json": "a dashboard for Grafana",
}


def files(
    name: Annotated[str | None, Parameter(name="NAME", help="The file to print. Default: list them.")] = None,
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints a file that a deployment needs, or lists these files.

    For example:

        hyperpage files
        hyperpage files alert-rules.yml > /etc/prometheus/hyperpage.yml
    """
    if name is None:
        listed = [{"name": each, "for": purpose} for each, purpose in FILES.items()]
        print_result(listed, as_json, print_table)
        return
    if name not in FILES:
        raise failure(Exit.NOT_FOUND, "not_found", f"there is no file {name}", "`hyperpage files` lists them")
    text = (resources("ops.deploy") / name).read_text(encoding="utf-8")
    print_result({"name": name, "text": text}, as_json, lambda file: print(file["text"], end=""))
