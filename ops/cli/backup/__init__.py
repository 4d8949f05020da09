"""`hyperpage backup`.

keep      create, list, prune, pin, unpin, delete
verify    verify, drill, verify-archive
restore   restore
key       new-key, signing-key, sign-archive
options   options of several commands, and the values behind them
"""
