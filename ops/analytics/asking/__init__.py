"""Queries over a lake.

query       one query, its answer as a table, CSV, JSON or Parquet
difference  the difference of all rows between two moments
"""
