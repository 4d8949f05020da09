"""`hyperpage backup`.

commands  the list of them
create, listing (list), verify, drill, verify_archive, restore, key (new-key),
keep (prune, pin, unpin, delete)
          one command a module, but for those that only say which backups stay
options   options of several, and what is behind them
entries   how a backup is told of
"""
