"""Everything that can be sent and asked, as documents for programs and people.

queries           every query; availability has those that depend on the moment
preview           one of them: the next times of a schedule that is not there yet
tool_config_diff  another one: what differs between two versions
schema            JSON Schema of a command, a query or an event, whole in itself
describable       types as a schema can show them
components        the schemas of all that is said and answered, under names that stay
names_of_others   what shapes are called there that packages bring
shapes            pieces of schemas for what no struct stands for
bundle            the components as one JSON Schema
client_types      what the clients in Python and TypeScript have of it, as sources
asyncapi          all of it as an AsyncAPI document
reference         all of it as the page docs/reference.md
"""
