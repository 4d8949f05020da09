"""All unfinished jobs at once, in memory.

indexes     what is kept of them
due         those that wait, in the order in which workers get them
dependents  those that wait for others
unique      those that no other one may be like
"""
