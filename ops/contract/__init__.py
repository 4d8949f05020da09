"""The contract: all commands, queries and events, as documents for programs and people.

queries           every query; availability has those that depend on the time of the question
preview           one of the queries: the next times of a schedule that does not exist yet
tool_config_diff  another one: the differences between two versions of a configuration
schema            the JSON Schema of a command, a query or an event, complete in itself
describable       converts types to ones that a schema can show
components        the schemas of all messages and answers, under stable names
names_of_others   the names of types from installed aggregates in the documents
shapes            pieces of schemas that have no struct
bundle            the components as one JSON Schema
client_types      sources for the clients in Python and TypeScript
asyncapi          the contract as an AsyncAPI document
reference         the contract as the page docs/reference.md
"""
