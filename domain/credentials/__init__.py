"""Credentials are not stored: where a JSON document holds one, and what is let through all the same.

first_look  passes over what holds none, at once
scanning    finds them in a document
names       the names under which people keep them
shapes      what they look like
issuers     the shapes that we know of ourselves
gitleaks    the shapes of a list that others keep
randomness  whether a text is a random one
wrappings   Base64 and other spellings undone
"""
