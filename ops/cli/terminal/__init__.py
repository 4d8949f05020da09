"""The terminal, as every command uses it.

options        options that several commands have
completing     what the shell offers at a Tab
body_completion  the same inside the body of a message, in bash
moments        moments, as they are written
recording      what a command does by itself, in the audit log
output         results for people and for programs, and how far something is
exits          exit codes, and failures that end a command
failures       errors of other rooms, as such failures
"""
