"""What can be sent and asked, as documents for programs and people.

queries           every query; availability are those that depend on the moment
tool_config_diff  one of them: what differs between two versions
schema            JSON Schema of all of it
answers           of what is answered
asyncapi          AsyncAPI
reference         docs/reference.md
"""
