"""What happened, and its cuts.

Policies act, rollouts write down whole episodes, replays keep them, and the cuts turn them into training rows.
"""
