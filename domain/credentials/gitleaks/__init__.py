"""The shapes that gitleaks knows (https://github.com/gitleaks/gitleaks), kept under its own licence, MIT.

rules    its rules, and the version that they are of; `make credential-rules` makes it anew
"""
