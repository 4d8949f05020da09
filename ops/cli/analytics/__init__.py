"""`hyperpage analytics`.

commands  the list of them
shell     its prompt
"""
