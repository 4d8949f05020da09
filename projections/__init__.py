"""The read path: one module for each table, with the function that makes its rows, and its queries."""
