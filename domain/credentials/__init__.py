"""Credentials are not stored: where a JSON document holds one, and what is let through all the same.

scanning  finds them in a document
names     the names under which people keep them
shapes    what they look like
"""
