"""Classes of the library `eventsourcing`, used unchanged: each becomes a decider and a row.

A class is read once, when it is adapted, by these rules:

- **Verbs.** The class methods that call `cls._create(…)` become creating verbs with their names; without any,
  calling the class becomes the verb `create`. Every public method that is decorated with `@event`, or whose
  calls trigger an event, becomes a verb with its name; a decorated property becomes `set_` and its name.
  Parameters are the fields of the command, with their annotations and defaults; one without an annotation
  takes any JSON. A method whose arguments JSON cannot hold is no verb (`Adapted.left_out`). The return value
  of a method is not answered. `hyperpage_verbs = {"__init__": "register", "check": None}` in the class gives
  verbs another name, or none.
- **Keys.** A command's `id` is the key; a creating one may leave it out. Where `create_id` takes parameters,
  the key follows from them, and creating takes no `id`. The library's own id is the key, if that is a UUID,
  or else the UUID (version 5) of `<table>/<key>`. Random ids that the class makes are not used.
- **Events.** `<singular of the table>.<change>.v<class_version>`, where the change is the name of the event's
  class, or the end of its `TOPIC`, in lower case with underscores: `dog.trick_added.v1`. The payload has the
  event's own fields; the static methods `upcast_v1_v2` are its upcasters, which get the payload as JSON has
  it. A mutator that returns `None` ends the aggregate; its key may be created again.
- **Refusals.** A `ValueError`, an `AssertionError`, or an exception of the class's own top-level package is
  the refusal `refused`, whose rule is the name of the exception in lower case: `insufficient_funds_error`.
  Any other exception is a defect, and fails only the command that raised it.
- **Time.** Timestamps of events, `created_on` and `modified_on` are the one time of the transaction.
- **State.** The object's attributes as plain values (`keeping`), so that a state can be kept. Its shape has a
  hash of the class's source: after any change of it, states are made from the events again. Changes of code
  that the class calls elsewhere are not noticed: raise the `class_version` of the aggregate then.
- **Row.** `id`, the public attributes and the properties that only return one, `created_at`, `updated_at`,
  `version`, `position`. A column has the annotated type, or the union of the types that are assigned; it
  holds any JSON if one of these is not known. An attribute with the name of one of the other columns, or of a
  keyword of SQL, is called `<singular>_<name>`. `hyperpage_filters = ("owner",)` in the class names columns
  to list and count by.

Each decision is checked before it is accepted: its events, written as JSON and read again, must lead to the
same state that the method left. So a mutator that reads the clock, a change without an event, or a value that
JSON does not give back fails at once, and not by a rebuild that differs later. A value that stays the same
for a moment, such as today's date, is not found out.

Modules: `adapted`, `adapting`, `anatomy`, `annotations`, `attributes`, `columns`, `commands`, `creating`,
`deciding`, `events`, `identity`, `keeping`, `names`, `reach`, `source`, `states`, `verbs`.
"""

from domain.installed.library.adapted import Adapted

__all__ = ["Adapted", "adapted", "is_library_class"]


def is_library_class(kind: object) -> bool:
    """Whether an object is an aggregate class of the library; the library is not imported to find out."""
    # By the names of its bases: the module of such a class has imported the library.
    return isinstance(kind, type) and any(
        (base.__module__, base.__name__) == ("eventsourcing.domain", "BaseAggregate")
        for base in kind.__mro__[1:]
    )


def adapted(kind: type, *, table: str) -> Adapted:
    """The decider and the row of an aggregate class of the library, under the name of a table.

    Raises:
        AggregateError: a part of the class cannot be kept or be a verb; the error says which, and what to do.
    """
    # Imported here, since the library takes a while to import and the command line starts without it.
    from domain.installed.library.adapting import adapt

    return adapt(kind, table)
