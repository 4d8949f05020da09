"""`hyperpage backup`.

commands  the list of them; create, list, verify, drill
keep      prune and what else removes
key       new-key
restore   restore
shared    options of several
"""
