"""Credentials are not stored: finding them in JSON documents, and the exceptions that are allowed.

first_look   tells quickly that a document holds none
scanning     finds them in a document
assignments  finds credentials that a text gives to a name
names        the names under which people keep them
shapes       the shapes by which they are recognized
issuers      shapes that this project took from issuers' documents
gitleaks     shapes from the list of the program gitleaks
randomness   whether a text is a random one
wrappings    undoes Base64 and other spellings
"""
