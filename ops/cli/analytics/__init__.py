"""`hyperpage analytics`.

export    export
lake      sql, shell, report, database; options for a lake, and its folder
diff      diff
prompt    the prompt of `shell`
"""
