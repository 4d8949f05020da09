"""`hyperpage cluster status`: the leader, the live members, and the copies of the log."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from domain.counting import counted
from ops.cli.asking import asked_status
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result, print_table, printable, say, size_text


def status(
    *,
    instance: Annotated[
        str | None,
        option("The id of the member to ask, as in runtime.json. Default: the one on the directory."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Shows the leader of the cluster, its live members, and where its log is kept.

    For example:

        hyperpage cluster status
        hyperpage cluster status --json --data /var/lib/hyperpage

    The member on the directory answers; each member shows the same, a second or
    two late. LAG is how many of the leader's events a member lacks.

    Exits with 0 when there is a leader and enough of the nats-servers that keep
    the log are there, with 1 otherwise, with 5 when no service runs.
    """
    cluster = msgspec.json.decode(asked_status(data, instance)).get("cluster")
    if cluster is None:
        raise failure(
            Exit.FAILED,
            "no_cluster",
            "this service is not one of several",
            "docs/cluster.md says how it becomes one",
        )
    print_result(cluster, as_json, _print_cluster)
    log = cluster["log"]
    is_sound = cluster["leader"] is not None and log is not None and log["has_quorum"]
    return Exit.DONE if is_sound else Exit.FAILED


def _print_cluster(cluster: Mapping[str, Any]) -> None:
    leader, log = cluster["leader"], cluster["log"]
    who = f"nobody, for {cluster['leaderless_seconds']:.0f} s"
    if leader is not None:
        where = f" at {leader['address']}" if leader["address"] else ""
        who = f"{leader['name']}{where}, in term {cluster['term']}"
    print(f"leader  {printable(who)}")
    print(f"asked   {printable(cluster['name'])}, which is a {cluster['role']}")
    if leader is None and cluster["kept_from_leading"] is not None:
        print(f"        and cannot lead: {printable(cluster['kept_from_leading'])}")
    if log is not None:
        print(f"log     {_log_line(log)}")
    for one in cluster["members"]:
        if one["log_lag_events"] is not None:
            lag = f"{counted(one['log_lag_events'], 'event')}, {one['log_lag_seconds']:.1f} s"
            print(f"        lacks {lag} of what {printable(one['name'])} has answered")
    if (fork := cluster["fork"]) is not None:
        missing = "nothing known"
        if fork["missing_events"]:
            missing = f"at least {counted(fork['missing_events'], 'event')}"
        print(
            f"forked  at position {fork['position']}, timeline {fork['timeline']}, as"
            f" {printable(fork['leader'])} took over; missing: {missing}"
        )
    for name in cluster["lost_events"]:
        print(f"lost    {printable(name)} has what the cluster went on without")
    if cluster["problem"] is not None:
        say(f"the nats-server does not say how it stands now: {printable(cluster['problem'])}")
    print()
    print_table(
        [
            {
                "name": one["name"],
                "role": one["role"],
                "position": one["position"],
                "lag": one["lag_events"],
                "version": one["version"],
                "seen": f"{one['age_ms'] / 1_000:.1f} s ago",
                "clock": f"{one['clock_ahead_ms'] / 1_000:+.1f} s",
                "address": one["address"] or None,
            }
            for one in cluster["members"]
        ]
    )


def _log_line(log: Mapping[str, Any]) -> str:
    copies = ", ".join(
        copy["server"] + (" (leads)" if copy["leads"] else "" if copy["available"] else " (away)")
        for copy in log["copies"]
    )
    kept = f" on {copies}" if copies else ""
    quorum = "" if log["has_quorum"] else "; it stores nothing now"
    there = f"{counted(log['replicas'], 'copy', 'copies')} {'is' if log['available'] == 1 else 'are'} there"
    return printable(
        f"{counted(log['messages'], 'message')}, {size_text(log['size_bytes'])}{kept};"
        f" {log['available']} of {there}, {counted(log['quorum'], 'is', 'are')} needed{quorum}"
    )
