"""What commands, queries and types of events are called in documents, and in types for programs."""


def component_name(name: str) -> str:
    """The name of a component: `JobsEnqueue` of `jobs.enqueue`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace(".", "_").split("_"))
