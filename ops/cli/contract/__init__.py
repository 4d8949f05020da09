"""The contract of a service, for programs and for people.

schema        schema
client_types  client-types
"""
