"""What the clients in other programs have of the contract: sources of Python and TypeScript.

python      the modules of our own client (`make client`), and one of aggregates that packages bring
typescript  likewise
brought     the tables that packages bring, as they are needed here
plain       types of others in the words of these
"""
