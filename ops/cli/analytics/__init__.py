"""`hyperpage analytics`.

commands  the list of them
export, sql, diff, report, shell, database
          one command a module
lake      options for a lake, and its folder
prompt    the prompt of `shell`
"""
