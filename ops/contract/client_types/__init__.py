"""Sources for client programs, made of the contract, in Python and TypeScript.

python      the modules of our own client (`make client`), and a module for installed aggregates
typescript  the same in TypeScript
brought     the tables of installed aggregates, with plain types
plain       converts types of installed aggregates to plain ones
"""
