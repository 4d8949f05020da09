"""The package that an author of an aggregate begins with: it works, and is to be changed into one's own.

error     the error of a package that cannot be written
names     the names in the package, and those that are refused
packages  writes the package into an empty folder
templates its files, with placeholders for the names
"""
