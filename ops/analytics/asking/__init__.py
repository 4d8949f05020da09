"""Questions to a lake.

query       one query, its answer as a table, CSV, JSON or Parquet
difference  what became of each row between two moments
"""
