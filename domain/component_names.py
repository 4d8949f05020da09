"""The names of commands, queries and event types in the documents of the contract and in clients' types."""


def component_name(name: str) -> str:
    """The name of a component: `JobsEnqueue` of `jobs.enqueue`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace(".", "_").split("_"))
