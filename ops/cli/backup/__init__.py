"""`hyperpage backup`.

commands  the list of them
create, listing (list), verify, drill, verify_archive, restore, key (new-key),
keep (prune, pin, unpin, delete)
          one command a module, except those that say which backups stay
options   options of several commands, and the values behind them
"""
