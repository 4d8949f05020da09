"""Everything that can be sent and asked, as documents for programs and people.

queries           every query; availability has those that depend on the moment
tool_config_diff  one of them: what differs between two versions
schema            JSON Schema of commands, queries and events
answers           JSON Schema of what queries are answered with
asyncapi          all of it as an AsyncAPI document
reference         all of it as the page docs/reference.md
"""
