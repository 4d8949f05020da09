"""What every command needs of the terminal.

options        options that several commands have
output         results for people and for programs
progress_bars  how far something is
exits          exit codes, and failures that end a command
failures       errors of the rooms below, as such failures
"""
