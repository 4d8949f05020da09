"""What is run by the build and is no part of the program.

materials          the bill of materials of an environment, and the licences in it
python_client      puts what the catalogue says into the Python client
typescript_client  and into that of TypeScript
"""
