"""The read path: one module a table, with what keeps it current and its queries side by side."""
