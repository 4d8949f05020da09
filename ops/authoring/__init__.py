"""What the author of an aggregate begins with: a package that works, to be changed into one's own.

error     why one cannot be written
names     what is called how, and names that are refused
packages  the package, written into an empty folder
templates its files, as they are before names stand in them
"""
