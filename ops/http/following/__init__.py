"""Events as they are committed, for those who follow over HTTP.

source      what many can follow at once
event_feed  one reading of the log for all who follow
tails       what each of them gets of it
"""
