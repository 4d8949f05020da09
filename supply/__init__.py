"""Programs that the build runs, and that are not part of the service.

materials          the bill of materials of an environment, and the licences in it
python_client      makes modules of the Python client from the catalogue
typescript_client  makes types of the TypeScript client from the catalogue
"""
