"""Configurations of tools: each version whole, with who changed it and why.

messages  commands and events
decider   what they lead to
"""

from domain.tool_configs.decider import DECIDER, TABLE, ToolConfig, evolve, exists

__all__ = ["DECIDER", "TABLE", "ToolConfig", "evolve", "exists"]
