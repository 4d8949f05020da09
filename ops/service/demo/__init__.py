"""What `hyperpage serve --demo` plays.

workload   a small company that syncs its tools
installed  the demos that installed aggregates bring
"""
