"""Aggregates that break a law each, to be served beside ours (`serve --aggregates`).

dice      makes its state by chance
tellers   makes its rows of something that no event says
secrets   is refused by a rule that its verb does not declare
"""
