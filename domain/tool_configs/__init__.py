"""Tool configurations: whether a tool is on, and how it is set, with every version kept.

absent --set, import--> present
present --set, patch, enable, disable, set_refresh_interval, set_notifications, rollback--> present
present --delete--> absent (the stream and its versions go on; rollback brings an old version back)

A schema is registered and removed beside that, in either state, and outlives a deletion. Where there is one,
the configuration matches it: `register_schema` is refused if it does not, and so is each change away from it.

`messages` has the commands and events; `decider` the decisions and the state.
"""

from domain.tool_configs.decider import DECIDER, TABLE, ToolConfig

__all__ = ["DECIDER", "TABLE", "ToolConfig"]
