"""The terminal, as every command uses it.

options        options that several commands have
completing     the words that the shell offers at a Tab
body_completion  the same inside the body of a message, in bash
moments        times, as they are written on the command line
recording      records in the audit log what a command does without the service
output         results for people and for programs, and progress
exits          exit codes, and failures that end a command
failures       turns errors of other packages into such failures
"""
