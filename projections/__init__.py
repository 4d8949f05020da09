"""The read path: a module or folder for each table, with what makes its rows, and its queries."""
