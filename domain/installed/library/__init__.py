"""Classes of the library `eventsourcing`, brought as they are: each becomes a decider and a row.

A class is read once, when it is adapted. What it becomes is told by rules:

- **Verbs.** The class methods that call `cls._create(…)` create, each by its own name; where there is none,
  calling the class does, as `create`. Every public method that is decorated with `@event`, or that comes to
  trigger an event, is a verb of its name; a decorated property is `set_` and its name. Parameters are the
  fields of the command, with their annotations and defaults; one without an annotation takes any JSON. A
  method whose arguments JSON cannot hold is no verb (`Adapted.left_out`). What a method returns is not told.
  `hyperpage_verbs = {"__init__": "register", "check": None}` in the class gives verbs another name, or none.
- **Keys.** A command's `id` is the key; a creating one may leave it out. Where `create_id` takes parameters,
  the key follows from them, and creating takes no `id`. Inside, the id is the key as a UUID, or, where the
  key is none, the UUID (version 5) of `<table>/<key>`. Ids that the class makes by chance are not used.
- **Events.** `<singular of the table>.<change>.v<class_version>`, where the change is the name of the event's
  class, or the end of its `TOPIC`, in lower case with underscores: `dog.trick_added.v1`. The payload has the
  event's own fields; the static methods `upcast_v1_v2` are its upcasters, which get the payload as JSON has
  it. A mutator that returns `None` ends the aggregate; its key may be created again.
- **Refusals.** A `ValueError`, an `AssertionError`, or an exception of the class's own top-level package is
  the refusal `refused`, whose rule is the name of the exception in lower case: `insufficient_funds_error`.
  Anything else is a defect, and costs the command that met it alone.
- **Time.** Timestamps of events, `created_on` and `modified_on` are the one time of the transaction.
- **State.** The object's attributes as plain values (`keeping`), so that a state can be kept. Its shape has a
  hash of the class's source: another word in it, and states are made from the events again. Code that the
  class calls elsewhere is not seen: raise the `class_version` of the aggregate where that changes.
- **Row.** `id`, the public attributes and the properties that only return one, `created_at`, `updated_at`,
  `version`, `position`. Types are those that are annotated, or those that all assignments have; otherwise a
  column holds any JSON. An attribute with the name of one of the others, or of a word of SQL, stands as
  `<singular>_<name>`. `hyperpage_filters = ("owner",)` in the class names columns to list and count by.

Each decision is checked before it is accepted: its events are read again as JSON has them, and must lead to
the very state that the method left. A mutator that asks the clock, a change without an event, or a value that
JSON does not give back is a defect that way, and not a rebuild that differs later. What is the same twice
within a moment, such as today's date, is not found.

Modules: `adapted`, `adapting`, `anatomy`, `annotations`, `attributes`, `columns`, `commands`, `creating`,
`deciding`, `events`, `identity`, `keeping`, `names`, `reach`, `source`, `states`, `verbs`.
"""

from domain.installed.library.adapted import Adapted

__all__ = ["Adapted", "adapted", "is_library_class"]


def is_library_class(kind: object) -> bool:
    """Whether something is an aggregate class of the library, which is not imported to find out."""
    # Whoever has such a class has imported it.
    return isinstance(kind, type) and any(
        (base.__module__, base.__name__) == ("eventsourcing.domain", "BaseAggregate")
        for base in kind.__mro__[1:]
    )


def adapted(kind: type, *, table: str) -> Adapted:
    """The decider and the row of an aggregate class of the library, under the name of a table.

    Raises:
        AggregateError: the class has what cannot be kept or asked for; it says what, and what to do.
    """
    # The library takes a while to import, and the command line starts without it.
    from domain.installed.library.adapting import adapt

    return adapt(kind, table)
