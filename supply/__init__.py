"""What the program is made of, that is not ours; run by the build, in no part of the program.

materials  the bill of materials of an environment, and the licences in it
"""
