"""`hyperpage analytics`.

commands  the list of them
export, sql, diff, report, shell, database
          one command a module
lake      the lake that they are about
prompt    what `shell` opens where there is no `duckdb`
"""
